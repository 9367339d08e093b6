"""JSON is read part by part: what people write is taken, what would fill the memory is not."""

import json

import pytest

from peclr_jax.errors import UserError
from peclr_jax.reading import json_parts


@pytest.fixture
def written(tmp_path):
    def write(content):
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        (tmp_path / "labels.json").write_bytes(text.encode() if isinstance(text, str) else text)
        return tmp_path / "labels.json"

    return write


@pytest.mark.parametrize("text", ["[[1, 2.5], [3, 4]]", "[[1, 2.5], [NaN, 4]]"])
def test_a_byte_order_mark_is_no_mistake(written, text):
    parts = list(json_parts.stream(written(text), "item"))
    assert list(json_parts.stream(written(b"\xef\xbb\xbf" + text.encode()), "item")) == parts
    assert len(parts) == 2


def test_parts_of_an_object_in_any_order(written):
    content = {"b": [{"x": float("inf")}, {"x": 1}], "a": [1, 2], "c": {"a": 5}}
    path = written(content)
    assert list(json_parts.stream(path, "a.item")) == [1, 2]
    assert list(json_parts.stream(path, "b.item")) == [{"x": "Infinity"}, {"x": 1}]
    assert list(json_parts.stream(path, "c.item")) == []
    fields = dict(json_parts.fields(path))
    assert fields == {"b": [{"x": "Infinity"}, {"x": 1}], "a": [1, 2], "c": {"a": 5}}


@pytest.mark.parametrize("text", ['{"a": [1], "b": [], "a": [2]}', '{"a": [NaN], "a": []}'])
def test_a_name_is_given_once(written, text):
    with pytest.raises(UserError, match="has 'a' more than once: put all of it in one entry"):
        list(json_parts.fields(written(text)))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_texts_stay_wherever_the_chunks_end(written, monkeypatch, size):
    monkeypatch.setattr(json_parts, "_CHUNK_BYTES", size)
    names = ["a, NaN, b", "Infinity", 'quoted "NaN" \\', "[" * 300, "\\", "-Infinity\n", "\u20ac"]
    assert list(json_parts.stream(written(names), "item")) == names
    with_nan = json.dumps([float("nan"), *names, float("-inf")])
    assert list(json_parts.stream(written(with_nan), "item")) == ["NaN", *names, "-Infinity"]


def test_what_a_file_mentions_and_how_it_begins(written, monkeypatch):
    path = written(' \n{"images": [], "annotation": 1}')
    assert json_parts.begins_with(path, "{")
    assert not json_parts.begins_with(path, "[")
    for size in (1, 5, 1000):
        monkeypatch.setattr(json_parts, "_CHUNK_BYTES", size)
        assert json_parts.mentions(path, "images")
        assert not json_parts.mentions(path, "annotations")


@pytest.mark.parametrize("start", ['{"a": 1, "b": ', '{"a": NaN, "b": '], ids=["json", "nan"])
@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("[" * 10**5, "nested more than 100 times"),
        ('{"a":' * 10**5, "nested more than 100 times"),
        (" " * (5 * 10**6), "more than 4 MB"),
        ("1" * (5 * 10**6), "more than 4 MB"),
        ('"' + "a" * (5 * 10**6), "more than 4 MB"),
        ("[" + "0, " * 2 * 10**6, "more than 4 MB|is not JSON"),
        ("9" * 5000, "is not JSON"),
        ("1e999}", "is not JSON"),
    ],
)
def test_what_would_fill_the_memory_is_refused(written, start, rest, said):
    path = written(start + rest)
    for read in (json_parts.fields, lambda path: json_parts.stream(path, "b.item")):
        with pytest.raises(UserError, match=said) as raised:
            list(read(path))
        assert len(str(raised.value)) < 400


def test_small_parts_may_be_many(written):
    path = written("[" + "[0], " * 100_000 + "[0]]")
    assert sum(1 for _ in json_parts.stream(path, "item")) == 100_001
