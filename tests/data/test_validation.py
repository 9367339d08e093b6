"""Label files are read as a stream: little memory, and each mistake by its place."""

import json
import tracemalloc

import numpy as np
import pytest

from data import validation
from peclr_jax.reading import json_parts


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "labels.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def read(path, shape=(2,)):
    return validation.read_label_file(path, shape, "fetch it again")


def test_numbers_are_the_files_to_the_last_bit(write):
    values = (
        np.random.default_rng(0).normal(size=(50, 21, 3)) * 10.0 ** np.arange(-4, 59)[:21, None]
    )
    np.testing.assert_array_equal(read(write(values.tolist()), (21, 3)), values)
    np.testing.assert_array_equal(read(write(" \n[1, 2.5, -3e-2]"), ()), [1, 2.5, -0.03])


def test_memory_is_the_arrays_own(write):
    values = np.random.default_rng(0).random((4000, 21, 3))
    path = write(values.tolist())
    tracemalloc.start()
    read(path, (21, 3))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * values.nbytes < 0.7 * path.stat().st_size


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "must be a JSON list"),
        ([], "must be a JSON list"),
        ({"item": [1, 2]}, "must be a JSON list"),
        ("3", "must be a JSON list"),
        ("[[1, 2], [3", r"is not JSON \(parse error: premature EOF\): fetch"),
        ("[[1, 2]] [", "is not JSON"),
        ("[[1, 2], [Nan, 2]]", "is not JSON"),
        ('[[1, 2], ["\xff", 2]]', "entry 1 has shape ragged"),
        ([[1, 2], 3], r"entry 1 has shape \(\), expected \(2,\)"),
        ([[1, 2], [3, [4]]], "entry 1 has shape ragged or not numeric"),
        ([[1, 2], [3, float("nan")]], "entry 1 is nan, not a finite number"),
        ([[1, float("-inf")], [3, float("nan")]], "entry 0 is -inf"),
        ([[1, 2], [3, None]], "entry 1 is nan"),
    ],
)
def test_mistakes_are_named(write, content, said):
    with pytest.raises(ValueError, match=said) as raised:
        read(write(content))
    assert "\n" not in str(raised.value)
    assert "labels.json" in str(raised.value)


def test_bytes_that_are_no_text_are_not_json(tmp_path):
    (tmp_path / "labels.json").write_bytes(b'["\xff\xfe"]')
    with pytest.raises(ValueError, match="is not JSON"):
        read(tmp_path / "labels.json", ())


def test_not_a_number_is_found_wherever_the_chunks_end(write, monkeypatch):
    values = [[float(i), i + 0.25] for i in range(30)]
    values[17][1] = float("nan")
    path = write(values)
    for size in range(1, 40):
        monkeypatch.setattr(json_parts, "_CHUNK_BYTES", size)
        with pytest.raises(ValueError, match="entry 17 is nan"):
            read(path)
