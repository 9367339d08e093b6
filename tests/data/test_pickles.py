"""Pickles: arrays and plain values of every protocol come through, and nothing else does."""

import os
import pickle
import pickletools

import numpy as np
import pytest

from data import pickles
from peclr_jax.errors import UserError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
CONTENT = {
    "plain": [1, 2.5, "Käse", None, True, (3, 4), {5}, 1 + 2j, b"\x00\xff", b""],
    "matrix": np.arange(6.0).reshape(2, 3),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "big_endian": np.arange(3, dtype=">i4"),
    "flags": np.array([True, False]),
    "names": np.array(["003_cracker_box", "021_bleach"]),
    "mixed": np.array([None, {"a": 1}], object),
    "scalar": np.float32(0.5),
    "several": [np.arange(2.0), (1, True)],
    "none": np.zeros((0, 3)),
}
ARRAYS = ("matrix", "transposed", "big_endian", "flags", "scalar", "several", "none")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_and_plain_values_come_through(protocol, tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(CONTENT, protocol))
    loaded = pickles.load(tmp_path / "a.pkl")
    assert loaded.keys() == CONTENT.keys()
    assert loaded["plain"] == CONTENT["plain"]
    for name in ARRAYS:
        found = pickles.as_numbers(loaded[name], 100)
        np.testing.assert_array_equal(found, CONTENT[name], strict=False)
        assert found.shape == np.shape(CONTENT[name])
    for name in ("names", "mixed"):
        with pytest.raises(ValueError, match="it has an array of data type"):
            pickles.as_numbers(loaded[name], 100)


def test_files_of_python_2_and_numpy_1_come_through(tmp_path):
    """`{'x': numpy.array([1., 2.]), 'n': 'mug'}`, as Python 2.7 with NumPy 1.16 writes it."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\nt"
    data_type = b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    values = b"S'\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?\\x00\\x00\\x00\\x00\\x00\\x00\\x00@'\n"
    content = b"(dS'x'\n" + array + data_type + b"I00\n" + values + b"tbsS'n'\nS'mug'\ns."
    (tmp_path / "a.pkl").write_bytes(content)
    loaded = pickles.load(tmp_path / "a.pkl")
    np.testing.assert_array_equal(pickles.as_numbers(loaded["x"], 2), [1.0, 2.0])
    assert loaded["n"] == "mug"


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("call", "name"),
    [
        ((os.system, "touch {}"), r"(posix|nt)\.system"),
        ((eval, "open('{}', 'w')"), r"builtins\.eval"),
        ((getattr, "", "format"), r"builtins\.getattr"),
        ((np.load, "{}"), r"numpy\.load"),
    ],
)
def test_what_would_run_code_is_refused_by_name(call, name, protocol, tmp_path):
    touched = tmp_path / "touched"
    filled = (x.format(touched) if isinstance(x, str) else x for x in call)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"x": [Evil(*filled)]}, protocol))
    with pytest.raises(ValueError, match=rf"a\.pkl refers to {name}, .* nothing of it was run"):
        pickles.load(tmp_path / "a.pkl", inert=("chumpy", "scipy"))
    assert not touched.exists()


def test_forged_data_types_do_not_reach_memory(tmp_path):
    """Objects without the flag that says so would be read from the file as addresses."""
    content = pickletools.optimize(pickle.dumps(np.array([None]), 2))
    forged = content.replace(b"K?t", b"K\x00t").replace(b"]Na", b"U\x08AAAAAAAA")
    assert len(forged) == len(content) + 7
    (tmp_path / "a.pkl").write_bytes(forged)
    with pytest.raises(ValueError, match="it has an array of data type 'O8'"):
        pickles.as_numbers(pickles.load(tmp_path / "a.pkl"), 10)


RECORDS = np.zeros(2, [("a", "f4"), ("b", "i2")])
BROKEN = "a\\.pkl is not a pickle, corrupt or truncated \\(.+\\)"
REFUSED = [
    (
        b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
        r"refers to numpy\.ndarray\.__class__",
    ),
    (pickle.dumps(RECORDS), "it has an array of data type 'V6'"),
    *((pickle.dumps(CONTENT, 2)[:keep], BROKEN) for keep in (0, 1, 40, -1)),
    (b"<html>404</html>", BROKEN),
]


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_what_is_no_pickle_of_arrays_is_refused(content, message, tmp_path):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(UserError, match=message):
        pickles.as_numbers(pickles.load(tmp_path / "a.pkl"), 10)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"b\.pkl is missing"):
        pickles.load(tmp_path / "b.pkl")
