"""One network in one file: exact, small, and nothing else than what it says."""

import json
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors import numpy as safetensors_numpy

from peclr_jax import files
from peclr_jax.errors import UserError
from peclr_jax.weights import file as weights_file

VARIABLES = {
    "params": {
        "encoder": {"conv1": {"kernel": np.linspace(-3, 3, 54, dtype=np.float32).reshape(2, 27)}},
        "head": {"bias": np.array([1e-3, 100.1], np.float32)},
    },
    "batch_stats": {"encoder": {"bn1": {"mean": np.array([0.1, 1e-9], np.float32)}}},
}
WANTED = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, VARIABLES))
TENSORS = flatten_dict(VARIABLES, sep="/")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.safetensors"


def save(path, tensors, note="{}"):
    path.write_bytes(safetensors_numpy.save(tensors, {weights_file.NOTE: note}))


def test_float32_is_exact_and_float16_is_for_parameters(path):
    weights_file.write(path, VARIABLES, "a note")
    jax.tree.map(np.testing.assert_array_equal, weights_file.read(path, WANTED), VARIABLES)
    assert weights_file.read_note(path) == "a note"
    exact, size = files.digest(path), path.stat().st_size
    weights_file.write(path, VARIABLES, "a note", half=True)
    assert path.stat().st_size < size
    assert files.digest(path) != exact
    found = weights_file.read(path, WANTED)
    assert {tensor.dtype for tensor in jax.tree.leaves(found)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(
        found["batch_stats"]["encoder"]["bn1"]["mean"],
        VARIABLES["batch_stats"]["encoder"]["bn1"]["mean"],
    )
    np.testing.assert_array_equal(
        found["params"]["head"]["bias"],
        VARIABLES["params"]["head"]["bias"].astype(np.float16),
    )
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@given(arrays.arrays(np.float32, (2, 3), elements=st.floats(-60000, 60000, width=32)))
def test_what_fits_float16_survives_it(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("half") / "network.safetensors"
    variables = {"params": {"kernel": values}}
    assert weights_file.fits_half(variables)
    weights_file.write(path, variables, "", half=True)
    read = weights_file.read(path, {"params": {"kernel": jax.ShapeDtypeStruct((2, 3), "float32")}})
    np.testing.assert_allclose(read["params"]["kernel"], values, rtol=2**-11, atol=2**-25)


@pytest.mark.parametrize(
    ("value", "half", "remedy"), [(1e5, True, "write it in float32"), (np.nan, False, "another st")]
)
def test_values_that_cannot_be_written_leave_the_older_file(path, value, half, remedy):
    path.write_text("an older file")
    variables = {"params": {"kernel": np.array([value], np.float32)}}
    assert not weights_file.fits_half(variables)
    with pytest.raises(UserError, match=f"params/kernel has values that are no finite .*{remedy}"):
        weights_file.write(path, variables, "", half=half)
    assert path.read_text() == "an older file"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"params/head/bias": None}, r"holds params/head/bias as None, .* has \(2,\)"),
        ({"params/head/other": np.zeros(2, np.float32)}, r"params/head/other as \(2,\), .* None"),
        ({"params/head/bias": np.zeros(3, np.float32)}, r"as \(3,\), .* has \(2,\)"),
        ({"params/head/bias": np.zeros(2, np.float64)}, "params/head/bias as F64, which we do n"),
        ({"params/head/bias": np.zeros(2, np.int32)}, "as I32, which we do not write"),
        ({"batch_stats/encoder/bn1/mean": np.zeros(2, np.float16)}, "bn1/mean as F16, which we"),
        ({"params/head/bias": np.array([1, np.inf], np.float32)}, "values that are not finite"),
    ],
)
def test_tensors_of_another_network_are_refused(path, change, message):
    save(path, {k: v for k, v in (TENSORS | change).items() if v is not None})
    with pytest.raises(UserError, match=message):
        weights_file.read(path, WANTED)


def test_shapes_are_compared_before_anything_is_read(path):
    """The numbers are not there, so that reading them would be another error."""
    header = {"params/x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(UserError, match="is damaged"):
        weights_file.read(path, WANTED)


def test_weights_of_others_are_told_where_they_belong(path):
    path.write_bytes(safetensors_numpy.save({"conv1.weight": np.zeros(3, np.float32)}))
    with pytest.raises(UserError, match=r"none of ours: .*--config\.init\.torch_checkpoint"):
        weights_file.read_note(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged"),
        (b"\x80\x04\x95", "a header of|is damaged"),
        (struct.pack("<Q", 2**40) + b"{}", "has a header of 1099511627776 bytes"),
        (struct.pack("<Q", 2**19) + b"{}", "has a header of"),
        (struct.pack("<Q", 2) + b"[]", "is damaged"),
    ],
)
def test_damaged_files_are_refused(path, content, message):
    path.write_bytes(content)
    for read in (weights_file.read_note, lambda path: weights_file.read(path, WANTED)):
        with pytest.raises(UserError, match=message):
            read(path)


@given(st.data())
def test_no_truncated_or_changed_file_is_anything_but_refused_or_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "network.safetensors"
    weights_file.write(path, VARIABLES, "{}")
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        found = weights_file.read(path, WANTED)
    except UserError:
        return
    assert jax.tree.all(jax.tree.map(lambda a, b: a.shape == b.shape, found, WANTED))
