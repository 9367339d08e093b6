"""A bounded part of the fuzz; `python scripts/stress/fuzz.py --cases 2000` is all of it."""

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.stress.fuzz import is_a_sentence
from scripts.stress.mutations import damage, distort

FUZZ = Path(__file__).parents[2] / "scripts/stress/fuzz.py"
CASES = 136


@pytest.mark.slow
def test_damaged_files_are_read_or_refused_in_a_sentence():
    # Apart from the other tests: shapes in signatures are not checked there, as for our users, and
    # the memory of a case can be limited.
    command = [sys.executable, FUZZ, "--cases", str(CASES)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    found = map(int, re.search(r"^all +(.*)$", ran.stdout, re.M)[1].split())
    cases, read, refused, *others, megabytes = found
    assert (cases, others) == (CASES, [0, 0, 0])
    assert megabytes < 1000
    assert min(read, refused) > CASES / 10


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
    assert is_a_sentence(message) is is_one
