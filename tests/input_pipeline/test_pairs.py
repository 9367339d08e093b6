"""Partners: another version of the same hand, the same wherever and whenever they are drawn."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.devices.mesh import make_mesh
from peclr_jax.input_pipeline import make_source
from peclr_jax.input_pipeline.memory import Identities
from peclr_jax.input_pipeline.pairs import Partners

BATCH = 8


def tiled(hands, versions):
    return Identities(np.tile(hands, versions), np.repeat(np.arange(versions), len(hands)))


@given(
    data=st.lists(
        st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=30),
        min_size=1,
        max_size=3,
    ),
    seed=st.integers(0, 2**31),
    step=st.integers(0, 10**6),
)
def test_a_partner_is_another_version_of_the_same_hand(data, seed, step):
    """Of any data sets, stored in any order, some images of a version occurring repeatedly."""
    sizes = tuple(map(len, data))
    flat = np.array(list(itertools.chain.from_iterable(data)))
    data_set = np.repeat(np.arange(len(sizes)), sizes)
    partners = Partners(Identities(*flat.T), sizes, seed)
    examples = np.arange(len(flat))
    found = partners.indices(examples, step)
    np.testing.assert_array_equal(found, partners.indices(examples, step))
    alone = 0
    for example, partner in zip(examples, found, strict=True):
        same_hand = (data_set == data_set[example]) & (flat[:, 0] == flat[example, 0])
        others = np.flatnonzero(same_hand & (flat[:, 1] != flat[example, 1]))
        alone += not len(others)
        assert partner in (others if len(others) else [example])
    assert partners.exist == (alone < len(flat))


def test_partners_are_uniform_among_the_others_and_change_with_the_step():
    partners = Partners(tiled(np.array([5, 3, 9]), 4), (12,), seed=1)
    drawn = np.stack([partners.indices(np.arange(12), step) for step in range(3000)])
    for example in range(12):
        found, counts = np.unique(drawn[:, example], return_counts=True)
        expected = [i for i in range(12) if i % 3 == example % 3 and i != example]
        assert found.tolist() == expected
        np.testing.assert_allclose(counts / 3000, 1 / 3, atol=0.04)
    # Neighbours in a batch draw independently.
    same = (drawn[:, 0] // 3 == drawn[:, 1] // 3).mean()
    np.testing.assert_allclose(same, 1 / 3, atol=0.04)


def test_partners_are_the_same_everywhere():
    """Fixed numbers: a resume on another machine or NumPy must see the same pairs."""
    partners = Partners(tiled(np.arange(4), 4), (16,), seed=1)
    assert partners.indices(np.arange(8), 3).tolist() == [8, 5, 6, 11, 0, 1, 14, 15]


def test_hands_of_one_photo_are_not_versions_of_each_other():
    partners = Partners(Identities(np.array([0, 0, 1]), np.zeros(3, int)), (3,), seed=0)
    assert not partners.exist
    np.testing.assert_array_equal(partners.indices(np.arange(3), 0), np.arange(3))


@pytest.fixture(params=["freihand", "rendered"])
def config(request):
    """Sixteen images of FreiHAND's layout, or rendered ones in three versions."""
    config = request.getfixturevalue(
        {"freihand": "record_config", "rendered": "rendered_config"}[request.param]
    )
    config.labels = True
    if request.param == "rendered":
        config.rendered.update(versions=3, background="green,clutter")
    return config


@pytest.fixture
def open_source(mesh):
    def open_(config, mesh=mesh, **kwargs):
        return make_source(config, train=True, batch_size=BATCH, seed=0, mesh=mesh, **kwargs)

    return open_


def take(source, count, start=0):
    batches = source.batches(start)
    result = [jax.tree.map(np.asarray, b) for b in itertools.islice(batches, count)]
    batches.close()
    return result


def shown(batch, image="image", to_source="to_source"):
    """The images of a batch, where they lie in their sources included, fit to be looked up."""
    places = batch.get(to_source, np.zeros(len(batch[image])))
    pairs = zip(batch[image], places, strict=True)
    return [pixels.tobytes() + place.tobytes() for pixels, place in pairs]


def identities(batch):
    return list(zip(batch["sample_id"].tolist(), batch["version"].tolist(), strict=True))


def assert_pairs(batches, known):
    for batch in batches:
        partners = shown(batch, "partner", "partner_to_source")
        for image, partner, (hand, version) in zip(
            shown(batch), partners, identities(batch), strict=True
        ):
            assert known[image] == (hand, version)
            assert known[partner][0] == hand
            assert known[partner][1] != version


@pytest.mark.parametrize("cache", ["none", "host", "device"])
@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_batches_carry_another_version_beside_each_image(config, open_source, cache, fraction):
    config.update(cache=cache, label_fraction=fraction)
    single = open_source(config)
    unpaired = take(single, 4 * single.steps_per_epoch)  # epochs leave out remainders
    known = {
        key: identity
        for batch in unpaired
        for key, identity in zip(shown(batch), identities(batch), strict=True)
    }
    assert len(known) == single.num_examples
    config.pairs = "versions"
    source = open_source(config)
    batches = take(source, 4)
    assert_pairs(batches, known)
    # What was there without partners is as it was, and a run goes on with the same pairs.
    for batch, before in zip(batches, unpaired, strict=False):
        assert batch.keys() - before.keys() <= {"partner", "partner_to_source"}
        jax.tree.map(np.testing.assert_array_equal, {k: batch[k] for k in before}, before)
    jax.tree.map(np.testing.assert_array_equal, take(source, 2, start=2), batches[2:])


def test_devices_and_processes_do_not_change_the_pairs(config, open_source):
    config.update(cache="host", pairs="versions")
    whole = take(open_source(config), 3)
    one = take(open_source(config, mesh=make_mesh(jax.devices()[:1])), 3)
    jax.tree.map(np.testing.assert_array_equal, one, whole)
    config.cache = "device"
    jax.tree.map(np.testing.assert_array_equal, take(open_source(config), 3), whole)
    config.cache = "host"
    parts = [
        next(open_source(config, process_index=i, process_count=2).host_batches(2))
        for i in range(2)
    ]
    together = jax.tree.map(lambda *halves: np.concatenate(halves), *parts)
    jax.tree.map(np.testing.assert_array_equal, together, whole[2])


def test_without_labels_only_images_and_their_places_come(record_config, open_source):
    record_config.pairs = "versions"
    names = set(take(open_source(record_config), 1)[0])
    assert names == {"image", "to_source", "partner", "partner_to_source"}
    assert set(open_source(record_config).sample(1)) == {"image"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pairs": "hands"}, r"data\.pairs is 'hands'; choose one of image, versions"),
        ({"pairs": "versions"}, r"of which data\.rendered\.versions=1 renders but one"),
        ({"pairs": "versions", "rendered": {"count": 0, "versions": 2}}, "without end"),
    ],
)
def test_impossible_pairs_are_refused(rendered_config, open_source, fields, message):
    rendered_config.update(fields)
    with pytest.raises(ValueError, match=message):
        open_source(rendered_config)


def test_records_without_versions_cannot_be_paired(record_config, open_source, monkeypatch):
    from peclr_jax.input_pipeline import records

    single = Identities(np.arange(16), np.zeros(16, int))
    monkeypatch.setattr(records.RecordStore, "identities", lambda self: single)
    record_config.pairs = "versions"
    with pytest.raises(ValueError, match=r"each hand of freihand .* has but one"):
        open_source(record_config)


def test_the_partners_are_the_recorded_ones(recorded_draws):
    partners = Partners(tiled(np.arange(10), 4), (40,), 3)
    found = [partners.indices(np.arange(0, 40, 3), step).tolist() for step in (0, 1, 99)]
    assert found == recorded_draws["partners"]
