"""Sources: the same batches, and pairs, however they are kept and split over processes."""

import itertools
from dataclasses import replace

import jax
import numpy as np
import pytest

from peclr_jax.devices.mesh import make_mesh
from peclr_jax.input_pipeline.order import Order
from peclr_jax.input_pipeline.sources import HeldOut, StreamSource
from peclr_jax.input_pipeline.stores import MemoryStore
from tests.input_pipeline.conftest import assert_equal, join


def store(*values):
    return MemoryStore({"image": np.array(values)})


def test_held_out_examples_come_from_one_store_after_the_other():
    unread = store(6)
    unread.stream = lambda indices: pytest.fail("read")
    held_out = HeldOut((store(1, 2), store(3, 4, 5), unread))
    for count in range(1, 6):
        assert held_out.sample(count)["image"].tolist() == list(range(1, count + 1))
    named = HeldOut(held_out.stores, ("a (test)", "b (test)", "rendered hands"))
    assert named.describe(2) == "2 held-out images: a (test)"
    assert named.describe(3) == "3 held-out images: a (test), b (test)"
    assert HeldOut((store(1),), ("a",), "why").describe(9) == "1 training images: a (why)"
    assert HeldOut((store(1), store(2))).sample(9)["image"].tolist() == [1, 2]


def test_a_source_goes_on_without_end_and_ends_its_thread(mesh):
    order = Order((16,), 8, seed=0)
    source = StreamSource(HeldOut(()), order, None, store(*range(16)), mesh, (0, 1))
    batches = source.batches(2)
    for step, batch in zip(range(2, 6), batches, strict=False):
        np.testing.assert_array_equal(batch["image"], order.indices(step))
    batches.close()
    assert list(itertools.islice(batches, 1)) == []


@pytest.fixture(params=["freihand", "rendered"])
def paired_spec(request):
    """Sixteen images of FreiHAND's layout, or rendered ones in three versions."""
    if request.param == "freihand":
        make, given = request.getfixturevalue("record_spec"), {}
    else:
        make = request.getfixturevalue("rendered_spec")
        given = {"rendered": {"versions": 3, "background": "green,clutter"}}
    return lambda **fields: make(labels=True, **given, **fields)


def shown(batch, image="image", to_source="to_source"):
    """The images of a batch, and where they lie in their sources, fit to be looked up."""
    places = batch.get(to_source, np.zeros(len(batch[image])))
    pairs = zip(batch[image], places, strict=True)
    return [pixels.tobytes() + place.tobytes() for pixels, place in pairs]


def identities(batch):
    return list(zip(batch["sample_id"].tolist(), batch["version"].tolist(), strict=True))


@pytest.mark.parametrize(("cache", "fraction"), [("none", 0.5), ("host", 1.0), ("device", 0.5)])
def test_batches_carry_another_version_beside_each_image(
    paired_spec, open_source, take, cache, fraction
):
    fields = {"cache": cache, "label_fraction": fraction}
    single = open_source(paired_spec(**fields))
    unpaired = take(single, 4 * single.steps_per_epoch)  # epochs leave out remainders
    known = {}
    for batch in unpaired:
        known |= zip(shown(batch), identities(batch), strict=True)
    assert len(known) == single.num_examples
    source = open_source(paired_spec(**fields, pairs="versions"))
    batches = take(source, 4)
    for batch in batches:
        partners = shown(batch, "partner", "partner_to_source")
        for image, partner, (hand, version) in zip(
            shown(batch), partners, identities(batch), strict=True
        ):
            assert known[image] == (hand, version)
            assert known[partner][0] == hand
            assert known[partner][1] != version
    # What was there without partners is as it was, and a run goes on with the same pairs.
    for batch, before in zip(batches, unpaired, strict=False):
        added = {"", "_to_source", "_keypoints_2d", "_keypoints_2d_valid"}
        assert batch.keys() - before.keys() <= {f"partner{name}" for name in added}
        jax.tree.map(np.testing.assert_array_equal, {k: batch[k] for k in before}, before)
    jax.tree.map(np.testing.assert_array_equal, take(source, 2, start=2), batches[2:])


@pytest.mark.slow
def test_devices_and_processes_do_not_change_the_pairs(rendered_spec, open_source, take):
    fields = {"labels": True, "pairs": "versions", "rendered": {"versions": 3}}
    spec = rendered_spec(cache="host", **fields)
    whole = take(open_source(spec), 3)
    one = take(open_source(spec, mesh=make_mesh(jax.devices()[:1])), 3)
    jax.tree.map(np.testing.assert_array_equal, one, whole)
    on_device = open_source(rendered_spec(cache="device", **fields))
    jax.tree.map(np.testing.assert_array_equal, take(on_device, 3), whole)
    source = open_source(spec)
    for count in (2, 4, 8):
        parts = [next(replace(source, process=(i, count)).host_batches(2)) for i in range(count)]
        assert_equal(join(parts), whole[2])
