"""A bounded part of the fuzz; `python tests/faults/fuzz.py --cases 2000` is all of it."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fuzz
from mutations import damage, distort

CASES = 136


# Orbax's readers are cut off where their files are damaged.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_damaged_files_are_read_or_refused_in_a_sentence():
    # Eight devices' threads have taken what address space they want; other tests still will.
    result = fuzz.run(CASES, seed=0, limit_memory=False)
    assert not result.leaks, "\n".join(f"{leak.target} {leak.number}" for leak in result.leaks)
    assert sum(counts.total() for counts in result.counts.values()) == CASES
    for outcome in ("read", "refused"):
        assert sum(counts[outcome] for counts in result.counts.values()) > CASES / 10


def test_cases_depend_on_their_seed_alone():
    content, value = bytes(range(200)), {"a": [1.0, {"b": "c"}], "d": 2}
    for seed in range(50):
        assert damage(content, random.Random(seed)) == damage(content, random.Random(seed))
        first, second = (repr(distort(value, random.Random(seed))) for _ in range(2))
        assert first == second
    assert value == {"a": [1.0, {"b": "c"}], "d": 2}


@pytest.mark.parametrize(
    ("message", "is_one"),
    [("", False), ("x", False), ("two\nlines of it", False), ("what is wrong: mend it", True)],
)
def test_sentences(message, is_one):
    assert fuzz.is_a_sentence(message) is is_one
