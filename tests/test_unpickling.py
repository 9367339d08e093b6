"""Pickles as data: what they say comes through, what they name is not called."""

import io
import os
import pickle
from collections import OrderedDict

import pytest

from peclr_jax import unpickling
from peclr_jax.unpickling import Call, Named, RefusedNameError, UnpicklingError, read, shown

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
SHARED = ["shared"]
PLAIN = {
    "numbers": [0, -1, 300, 70000, 2**40, -(2**200), 1.5, float("inf"), True, False, None],
    "texts": ["", "Käse", "x" * 300, "\n'\\", b"", b"\x00\xff", bytearray(b"ab")],
    "containers": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {}, {1: {2: 3}}],
    "sets": [{1, "a"}, frozenset({(1, 2)})],
    "shared": [SHARED, SHARED],
    (1, "two"): OrderedDict([("a", 1), ("b", [2])]),
    "complex": 1 + 2j,
}


def loads(content, known=lambda _: True, **options):
    return read(io.BytesIO(content), known, **options)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values_come_through(protocol):
    loaded = loads(pickle.dumps(PLAIN, protocol), lambda name: name.endswith("object"))
    assert loaded == PLAIN
    assert loaded["shared"][0] is loaded["shared"][1]


def test_of_several_pickles_each_is_read_to_its_end():
    file = io.BytesIO(pickle.dumps([1]) + pickle.dumps("two") + b"rest")
    assert [read(file, bool), read(file, bool), file.read()] == [[1], "two", b"rest"]


class Stateful:
    def __init__(self):
        self.value = 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_are_what_would_have_been_called(protocol):
    made = loads(pickle.dumps(Stateful(), protocol))
    assert isinstance(made, Call)
    assert made.state == {"value": 3}
    called = Stateful.__module__ + ".Stateful"
    assert called == made.name or made.args[0].name == called


def test_persistent_ids_are_given_away_unread():
    content = b"(K\x01K\x02tQ."
    assert loads(content, persistent=lambda pid: ("found", pid)) == ("found", (1, 2))
    assert loads(content) is None


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_not_known_is_refused_by_its_name(protocol):
    with pytest.raises(RefusedNameError, match=rf"{os.system.__module__}\.system"):
        loads(pickle.dumps([Evil()], protocol), lambda name: name.startswith("numpy"))


@pytest.mark.parametrize("function", [b"a\nb", b"builtins\nset", b"collections\nOrderedDict"])
@pytest.mark.parametrize("made", [b"", b")R", b")\x81"])
def test_nothing_alters_the_reader(function, made):
    state = pickle.dumps({"name": "x", "__setstate__": None, "args": None}, 1)[:-1]
    before = {kind: dict(vars(kind)) for kind in (Call, Named, unpickling._Reader)}
    for states in (state, b"N" + state + b"\x86"):
        loads(b"\x80\x02c" + function + b"\n" + made + states + b"b.")
    assert {kind: dict(vars(kind)) for kind in before} == before
    assert loads(b"ca\nb\n)R.").name == "a.b"


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b".", b"(", b"K", b"0.", b"h\x05.", b"\xff.", b"\x82\x01.", b"a.", b"(K\x01d."),
        b"K\x01K\x02\x93.",  # names something by numbers
        b"X\xff\xff\xff\x7fabc.",  # a text of 2 GB
        b"\x96" + b"\xff" * 7 + b"\x7f.",  # an array of bytes without end
        b"cbuiltins\nbytes\nK\x05\x85R.",
        b"I" + b"9" * 10_000 + b"\n.",
        pickle.dumps(PLAIN)[:-1],
    ],
)
def test_broken_pickles_are_one_error(content):
    with pytest.raises(UnpicklingError) as info:
        loads(content)
    assert len(str(info.value)) < 200


def doubled(times, inner=b"K\x01"):
    """A tuple of two of itself, that often."""
    return inner + b"2\x86" * times


@pytest.mark.parametrize(
    "content",
    [
        b"}" + doubled(60) + b"K\x01s.",  # as a key, whose hash would be that of 2^60 numbers
        b"\x8f(" + doubled(60) + b"\x90.",
        doubled(60) + b".",
        b"(" * 100_000 + b"t" * 100_000 + b".",
        b"]q\x00" + b"h\x00a" * 1000 + b".",
    ],
)
def test_what_holds_itself_many_times_takes_no_time(content):
    assert len(shown(loads(content))) < 100


def test_values_are_not_copied_again_and_again():
    text = pickle.dumps("x" * 100_000, 2)[:-1]
    copy = b"c_codecs\nencode\nh\x00\x85R0"
    with pytest.raises(UnpicklingError, match="copies its values again"):
        loads(text + copy * 10 + b".")


def test_instructions_are_counted(monkeypatch):
    monkeypatch.setattr(unpickling, "_MOST_INSTRUCTIONS", 100)
    with pytest.raises(UnpicklingError, match="more than 100 instructions"):
        loads(b"N0" * 100 + b"N.")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        ("a" * 50, "'" + "a" * 40 + "'..."),
        (10**50, "a huge number"),
        ((1, (2, 3)), "(1, tuple)"),
        ([1], "a list"),
        (tuple(range(99)), "a tuple"),
    ],
)
def test_values_are_shown_in_some_words(value, text):
    assert shown(value) == text


ENDLESS = "a" * (unpickling.LONGEST_NAME + 1)


@pytest.mark.parametrize("part", [ENDLESS, ENDLESS.encode()])
def test_long_texts_are_never_compared(part):
    """Two that are equal would take as long as they are, at every instruction that finds them."""
    for key in (part, (1, part)):
        same = pickle.loads(pickle.dumps(key))
        assert all(isinstance(k, Call) for k in loads(pickle.dumps({key: 1}, 2)))
        assert (
            len(loads(pickle.dumps([key, same], 2).replace(b"]", b"\x8f").replace(b"e.", b"\x90.")))
            == 2
        )
    shorter = part[1:]
    assert loads(pickle.dumps({shorter: 1}, 2)) == {shorter: 1}


def test_names_are_not_endless():
    names = pickle.dumps(("torch." + ENDLESS, "load"), 4)
    assert names[-3:] == b"\x86\x94."
    with pytest.raises(UnpicklingError, match="names something by no text, or by an endless one"):
        loads(names[:-3] + b"\x93.")
