"""Names that strangers give: of photos, labels, folders. None steers what a person reads."""

import json
import os
import unicodedata

import pytest
from PIL import Image

from data import from_mediapipe
from data.labels import command
from peclr_jax import console
from peclr_jax.errors import UserError, printable, shown
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.labels import coco
from peclr_jax.labels.requests import requests
from peclr_jax.pages.gallery import Gallery
from peclr_jax.photos import boxes
from peclr_jax.photos.prepare import Prepared
from peclr_jax.terminal import Console
from tests.faults import bounded

# Colours, a title, a cleared line, a forged line, a turned direction of writing.
EVIL = "\x1b[31m\x1b]0;x\x07\x9b2J\r\nerror: forged\u202e\u2066\u2028.jpg"
IMAGE = {"id": 1, "file_name": "a"}
PROGRAM = """
import sys
from peclr_jax import stopping
stopping.start("__main__")
import logging, warnings
from absl import logging as absl
from peclr_jax import console
from peclr_jax.errors import UserError
from peclr_jax.terminal import Console
evil = sys.argv[1]
line = evil.replace("\\r", "").replace("\\n", "")  # which prints of libraries may hold
console.say(f"a {evil}")
absl.warning("b %s", evil)
logging.getLogger("library").warning("c %s", evil)
Console(width=300).print("d", line, "[/bold]", ":hand:")
print("e", line)
warnings.warn("f " + line)
console.tell(f"error: {UserError(evil)}")
sys.exit(2)
"""


def is_harmless(text):
    """Whether a text is one line without controls and marks of direction."""
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") for c in text)


def test_a_program_prints_nothing_that_steers_a_terminal(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    ended = bounded.run([tmp_path / "program.py", EVIL])
    assert ended.is_one_sentence, ended.output
    lines = ended.output.split("\n")
    assert all(map(is_harmless, lines)), ended.output
    for letter in "abcde":
        assert any(line.startswith(letter) or f":{letter} " in line for line in lines), letter
    assert "[/bold] :hand:" in ended.output


def test_an_error_is_one_harmless_line():
    for error in (UserError(EVIL), UserError("\x85".join("ab")), UserError("x" * 10**6 + EVIL)):
        assert is_harmless(str(error))
        assert len(str(error)) < 1300
    assert printable("Hände/手 1.jpg") == "Hände/手 1.jpg"
    assert printable("a\u3000b\tc\u00a0d") == "a b c d"


def test_values_in_messages_are_short():
    deep = []
    for _ in range(10_000):
        deep = [deep]
    long = "x" * 10**6, b"x" * 10**6, [1] * 10**6, {i: i for i in range(10**5)}
    for value in (deep, 10**10_000, *long):
        assert len(shown(value)) < 400
    assert shown([1, "a", 2.5]) == "[1, 'a', 2.5]"


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ({EVIL: 3}, lambda path: boxes.read_boxes(path, "right")),
        ({EVIL: [{EVIL: 1}]}, lambda path: boxes.read_boxes(path, "right")),
        ({"a": [{"handedness": EVIL}]}, lambda path: boxes.read_boxes(path, "right")),
        ({EVIL: [], "b": []}, lambda path: requests([path.parent / "c.jpg"], path, "right")),
        ({EVIL: [{"right": EVIL}]}, from_mediapipe.from_file),
        ({"images": [IMAGE | {"file_name": EVIL, "width": EVIL, "height": 2}]}, coco.from_file),
        ({"images": [IMAGE], "annotations": [{"image_id": EVIL}]}, coco.from_file),
    ],
)
def test_labels_do_not_forge_lines(tmp_path, content, read, capsys):
    (tmp_path / "labels.json").write_text(json.dumps(content))
    with pytest.raises(UserError) as raised:
        read(tmp_path / "labels.json")
    assert is_harmless(str(raised.value))
    console.tell(f"error: {raised.value}")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_notes_of_labels_do_not_forge_lines(tmp_path, capsys):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.jpg")
    hand = {"box": [1, 1, 20, 20]}
    (tmp_path / "labels.json").write_text(json.dumps({"a.jpg": [hand], EVIL: [hand]}))
    _, notes = requests([tmp_path / "a.jpg"], tmp_path / "labels.json", "right")
    console.say(*notes)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(notes) > 0
    assert all(map(is_harmless, said))


@pytest.mark.parametrize("name", ["[/bold]", "[red]x", ":hand:", "[link=x]y[/link]", "a]["])
def test_brackets_in_a_path_are_no_markup(name, monkeypatch, capsys):
    terminal = Console(width=200)
    with terminal.capture() as capture:
        terminal.rule(name)
        terminal.print(name)
        console.say(name, console=terminal)
    assert capture.get().count(name) == 3
    for colours in ("", "1"):  # a bar, on what is taken for a terminal
        monkeypatch.setenv("FORCE_COLOR", colours)
        assert list(report([1], name, 1)) == [1]
        assert name in capsys.readouterr().err


def test_long_names_of_photos_become_names_of_their_own(tmp_path):
    start = "a" * 240
    names = [f"{start}{end}.jpg" for end in ("1234567", "1234568", "123", "A234567")]
    names += [os.fsdecode(b"\xff" * 240) + end for end in ("1.jpg", "2.jpg")]
    names += [f"{'手' * 80}{number}.jpg" for number in range(2)] + [f"{start}1234567.png", EVIL]
    picture = Image.new("RGB", (32, 32))
    with Gallery(tmp_path, "photos", {"notes": []}, thumbnail_side=16) as gallery:
        for name in names:
            gallery.add(Prepared(tmp_path / name, 32, 32, 10.0, "guess", [], picture), [])
    for folder in ("overlays", "thumbnails"):
        made = [path.name for path in (tmp_path / folder).iterdir()]
        assert len({name.casefold() for name in made}) == len(names)
        assert all(is_harmless(name) and len(os.fsencode(name)) < 140 for name in made)
    entries = json.loads((tmp_path / "predictions.json").read_text())["images"]
    assert len({entry["overlay"] for entry in entries}) == len(names)


def test_paths_that_no_file_can_have_are_refused_in_a_sentence(tmp_path):
    long = tmp_path / ("a" * 300)
    with pytest.raises(UserError, match="is not there"):
        requests([tmp_path / "a.jpg"], long, "right")
    for out in (long, tmp_path / "b"):
        with pytest.raises(UserError):
            command._check_places(long, out, overwrite=False)
