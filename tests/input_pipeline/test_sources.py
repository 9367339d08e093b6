"""Batches from every source: the same whatever the start, the cache and the processes."""

import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from data import build, schema
from peclr_jax.devices.mesh import data_sharding, make_mesh
from peclr_jax.geometry import affine
from peclr_jax.input_pipeline import Source, datasets, default_config, make_source

BATCH = 8


def take(source, count, start=0):
    batches = source.batches(start)
    result = list(itertools.islice(batches, count))
    batches.close()
    return result


def assert_equal(first, second):
    assert set(first) == set(second)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def assert_batch(batch, mesh, size):
    assert batch["image"].shape == (BATCH, size, size, 3)
    assert batch["image"].dtype == np.uint8
    for array in batch.values():
        assert isinstance(array, jax.Array)
        assert array.sharding.is_equivalent_to(data_sharding(mesh), array.ndim)
        assert array.dtype.itemsize <= 4


@pytest.fixture
def open_source(mesh):
    def open_(config, train=True, batch_size=BATCH, seed=0, **kwargs) -> Source:
        return make_source(
            config, train=train, batch_size=batch_size, seed=seed, mesh=mesh, **kwargs
        )

    return open_


def test_records_come_the_same_from_everywhere(record_config, open_source, mesh):
    record_config.labels = True
    source = open_source(record_config)
    assert (source.num_examples, source.steps_per_epoch) == (16, 2)
    batches = take(source, 5)
    for batch in batches:
        assert_batch(batch, mesh, 32)  # canvases of crops of 24
    # An epoch is every image once: four samples in four versions.
    epoch = [
        tuple(pair)
        for batch in batches[2:4]
        for pair in zip(
            np.asarray(batch["sample_id"]).tolist(),
            np.asarray(batch["version"]).tolist(),
            strict=True,
        )
    ]
    assert sorted(epoch) == list(itertools.product(range(4), range(4)))
    assert_equal(take(source, 1, start=4)[0], batches[4])
    for cache in ("host", "device"):
        record_config.cache = cache
        cached = open_source(record_config)
        crops = take(cached, 2, start=3)[1]
        assert_batch(crops, mesh, 24)
        assert_equal(cached.sample(3), source.sample(3))
        laid = dict(batches[4])
        seen = affine.apply_to_images(laid.pop("image"), laid.pop("to_source"), 24)
        difference = np.abs(np.asarray(seen) - np.asarray(crops.pop("image")))
        assert difference[:, 2:-2, 2:-2].mean() < 4
        assert_equal(laid, crops)


def test_labels_fit_the_crops(record_config, open_source):
    record_config.labels = True
    (batch,) = take(open_source(record_config), 1)
    batch = jax.tree.map(np.asarray, batch)
    assert {f"{name}_valid" for name in schema.LABELS} < set(batch)
    points = batch["keypoints_2d"]
    center = (points.min(1) + points.max(1)) / 2
    # Crops are of whole pixels of the image as it is decoded.
    np.testing.assert_allclose(center, 11.5, atol=0.75)
    side = (points.max(1) - points.min(1)).max(-1)
    np.testing.assert_allclose(side, 24 / (1.5 * 1.5), atol=0.4)
    projected = np.einsum("nij,nkj->nki", batch["intrinsics"], batch["keypoints_3d"])
    np.testing.assert_allclose(projected[..., :2] / projected[..., 2:], points, atol=1e-3)


def test_without_labels_only_images_come(record_config, open_source):
    assert set(take(open_source(record_config), 1)[0]) == {"image", "to_source"}
    assert set(open_source(record_config).sample(1)) == {"image"}
    record_config.cache = "host"
    assert set(take(open_source(record_config), 1)[0]) == {"image"}


def test_processes_read_their_rows_of_the_same_batch(record_config, open_source):
    (whole,) = take(open_source(record_config), 1, start=1)
    parts = []
    for index in range(4):
        source = open_source(record_config, process_index=index, process_count=4)
        parts.append(next(source.host_batches(1))["image"])
    np.testing.assert_array_equal(np.concatenate(parts), whole["image"])


def test_devices_do_not_change_the_batch(record_config, open_source):
    one = make_mesh(jax.devices()[:1])
    source = make_source(record_config, train=True, batch_size=BATCH, seed=0, mesh=one)
    assert_equal(take(source, 1, 2)[0], take(open_source(record_config), 1, 2)[0])


def test_held_out_images_are_not_trained_on(record_config, open_source):
    record_config.split = "train"
    record_config.labels = True
    source = open_source(record_config)
    held_out = source.sample(100)
    assert len(held_out["image"]) == 4
    (batch,) = take(source, 1)
    assert not set(held_out["sample_id"].tolist()) & set(np.asarray(batch["sample_id"]).tolist())
    assert_equal(open_source(record_config, train=False).sample(100), held_out)


def test_two_data_sets_are_mixed(record_config, data_dir, shared, open_source):
    other = shared / "fixtures/ge_realworld_fhlayout_mini"
    record_config.names = "freihand,freihand"
    record_config.manual_dir = f"{record_config.manual_dir},{other}"
    record_config.weights = "1,3"
    record_config.labels = True
    source = open_source(record_config)
    assert source.num_examples == 16 + 32
    for batch in take(source, 3):
        # The reference bone is 2.0 cm in our drawings, and 4.0 to 5.4 cm in the photographs.
        assert (np.asarray(batch["bone_length"]) < 0.03).sum() == BATCH // 4


@pytest.fixture
def mixed_config(record_config, rendered_config):
    """Four drawn hands in four versions (three to train on), and 40 rendered ones."""
    record_config.names = "rendered,freihand"
    record_config.rendered = rendered_config.rendered
    record_config.labels = True
    return record_config


def is_rendered(batch):
    # The reference bone is 2.0 cm in our drawings; the stand-in's joints are anywhere.
    return np.abs(np.asarray(batch["bone_length"]) - 0.02) > 1e-4


@pytest.mark.parametrize("cache", ["none", "host", "device"])
def test_rendered_hands_are_mixed_with_records(mixed_config, open_source, mesh, cache):
    mixed_config.cache = cache
    mixed_config.weights = "3,1"
    source = open_source(mixed_config)
    assert source.num_examples == 16 + 40
    batches = take(source, 8)
    for batch in batches:
        assert_batch(batch, mesh, 24)  # crops: canvases are of records alone
        assert is_rendered(batch).sum() == 6
        rendered = np.asarray(batch["sample_id"])[is_rendered(batch)]
        painted = np.asarray(batch["image"])[is_rendered(batch)].max((1, 2, 3))
        np.testing.assert_array_equal(painted, rendered)
    drawn = [np.asarray(batch["sample_id"])[~is_rendered(batch)] for batch in batches]
    assert np.bincount(np.concatenate(drawn)).tolist() == [4, 4, 4, 4]
    assert_equal(take(source, 1, start=5)[0], batches[5])


def test_weights_of_a_mixture_follow_the_names(mixed_config, open_source):
    mixed_config.names, mixed_config.weights = "freihand,rendered", "3,1"
    (batch,) = take(open_source(mixed_config), 1)
    assert is_rendered(batch).sum() == 2


def test_held_out_hands_of_a_mixture(mixed_config, record_config, rendered_config, open_source):
    mixed_config.split = "train"
    source = open_source(mixed_config)
    held_out = source.sample(100)
    np.testing.assert_array_equal(is_rendered(held_out), [False] * 4 + [True] * 24)
    assert_equal(source.sample(3), {name: array[:3] for name, array in held_out.items()})
    assert_equal(open_source(mixed_config, train=False).sample(100), held_out)
    (batch,) = take(open_source(mixed_config, train=False), 1)
    assert is_rendered(batch).sum() == BATCH // 2
    mixed_config.held_out_split = "nothing"
    assert is_rendered(open_source(mixed_config).sample(100)).sum() == 24


def test_versions_are_paired_within_records_and_within_rendered_hands(mixed_config, open_source):
    mixed_config.pairs, mixed_config.weights = "versions", "3,1"
    mixed_config.rendered.versions = 2
    source = open_source(mixed_config)
    assert source.num_examples == 16 + 2 * 40
    for batch in take(source, 4):
        first, second = (
            np.asarray(batch[name])[is_rendered(batch)].astype(int).max((1, 2, 3))
            for name in ("image", "partner")
        )
        # The stand-in's versions are 64 grey levels apart.
        np.testing.assert_array_equal(np.abs(first - second), 64)
        assert (np.asarray(batch["partner"])[~is_rendered(batch)].max((1, 2, 3)) > 0).all()


def test_a_fraction_is_of_the_records_and_of_the_rendered_hands(mixed_config, open_source):
    mixed_config.label_fraction = 0.5
    mixed_config.weights = "3,1"
    source = open_source(mixed_config)
    assert source.num_examples == 2 * 4 + 20
    batches = take(source, 10)
    rendered = np.concatenate([b["sample_id"][is_rendered(b)] for b in batches])
    drawn = np.concatenate([b["sample_id"][~is_rendered(b)] for b in batches])
    assert (len(np.unique(rendered)), len(np.unique(drawn))) == (20, 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"names": "rendered"}, "names no records .*data.source='rendered'"),
        ({"names": "rendered,freihand,rendered"}, "'rendered' more than once"),
        ({"weights": "1"}, r"data.weights has 1 entries for 2 data sets \(rendered, freihand\)"),
        ({"manual_dir": "a,b"}, r"data.manual_dir has 2 entries for 1 data sets \(freihand\)"),
        ({"rendered.count": 0}, "without end, which cannot be mixed with records"),
        ({"rendered.held_out": 0}, "data.rendered.held_out is 0"),
        ({"rendered.count": 3}, "data.rendered.count has 3 images, but each batch of 8 takes 4"),
    ],
)
def test_impossible_mixtures_are_refused(mixed_config, open_source, fields, message):
    mixed_config.update_from_flattened_dict(fields)
    with pytest.raises(ValueError, match=message):
        open_source(mixed_config)


def test_records_of_other_files_are_not_taken_for_these(record_config, tmp_path):
    first = datasets.open_datasets(record_config)[0]
    copy = tmp_path / "copy"
    copy.symlink_to(record_config.manual_dir)
    assert datasets.open_datasets(record_config)[0].data_dir == first.data_dir
    other = tmp_path / "other"
    shutil.copytree(record_config.manual_dir, other)
    record_config.manual_dir = str(other)
    second = datasets.open_datasets(record_config)[0]
    assert second.data_dir != first.data_dir
    assert second.info.metadata["manual_dir"] == str(other)
    assert datasets.open_datasets(record_config)[0].data_dir == second.data_dir


def test_no_records_and_no_files(record_config, tmp_path, open_source):
    record_config.manual_dir = ""
    record_config.data_dir = str(tmp_path)
    with pytest.raises(
        FileNotFoundError,
        match=r"no records of freihand .*--config\.data\.manual_dir=DIR.*-m data\.build freihand",
    ):
        open_source(record_config)


def test_records_without_random_access_are_refused(record_config, tmp_path, open_source):
    builder = build.make_builder("freihand", tmp_path)
    tfrecord = type(builder)(data_dir=tmp_path, file_format="tfrecord")
    build.prepare(tfrecord, record_config.manual_dir)
    record_config.data_dir, record_config.manual_dir = str(tmp_path), ""
    with pytest.raises(ValueError, match=r"stored as tfrecord.*write them again"):
        open_source(record_config)


def test_wrong_split(record_config, open_source):
    record_config.split = "training"
    with pytest.raises(ValueError, match=r"no split 'training'; it has: .*train"):
        open_source(record_config)


def test_more_per_batch_than_there_is(record_config, open_source):
    with pytest.raises(ValueError, match=r"freihand \(train\+validation\) has 16 images.*takes 32"):
        open_source(record_config, batch_size=32)


def test_batch_must_divide_among_the_devices(record_config, open_source):
    with pytest.raises(ValueError, match="batch of 12 does not divide among 8 devices"):
        open_source(record_config, batch_size=12)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("source", "tfd", "data.source is 'tfd'; choose one of rendered, tfds"),
        ("cache", "gpu", "data.cache is 'gpu'; choose one of none, host, device"),
        ("hand_margin", 0.0, "data.hand_margin must be positive"),
        ("names", "", "data.names is empty"),
        ("weights", "1,2", "data.weights has 2 entries for 1 data sets"),
        ("weights", "half", "data.weights must be numbers"),
    ],
)
def test_impossible_fields_are_refused(record_config, open_source, field, value, message):
    record_config[field] = value
    with pytest.raises(ValueError, match=message):
        open_source(record_config)


@pytest.mark.parametrize("cache", ["host", "device"])
def test_rendered_pool(rendered_config, open_source, mesh, cache):
    rendered_config.cache = cache
    rendered_config.labels = True
    source = open_source(rendered_config)
    assert (source.num_examples, source.steps_per_epoch) == (40, 5)
    batches = take(source, 6)
    for batch in batches:
        assert_batch(batch, mesh, 16)
        # The stand-in paints every image with its own index.
        np.testing.assert_array_equal(batch["image"].max((1, 2, 3)), batch["sample_id"])
    seen = np.concatenate([batch["sample_id"] for batch in batches[:5]])
    np.testing.assert_array_equal(np.sort(seen), np.arange(40))
    assert_equal(take(source, 1, start=5)[0], batches[5])


@pytest.mark.parametrize("cache", ["host", "device"])
def test_rendered_versions_are_numbered_as_freihands(rendered_config, open_source, cache):
    """Image `hand + version * count`; one version is what a single one would be."""
    rendered_config.cache, rendered_config.labels = cache, True
    single = take(open_source(rendered_config), 5)
    rendered_config.rendered.update(versions=3, background="green,clutter")
    source = open_source(rendered_config)
    assert (source.num_examples, source.steps_per_epoch) == (120, 15)
    epoch = {
        name: np.concatenate([batch[name] for batch in take(source, 15)])
        for name in ("image", "sample_id", "version", "keypoints_3d", "crop_shift")
    }
    numbers = epoch["sample_id"] + 40 * epoch["version"]
    np.testing.assert_array_equal(np.sort(numbers), np.arange(120))
    # The stand-in paints every hand with its own number, versions 64 apart.
    painted = epoch["sample_id"] + 64 * epoch["version"]
    np.testing.assert_array_equal(epoch["image"].max((1, 2, 3)), painted)
    in_order = {name: array[np.argsort(numbers)] for name, array in epoch.items()}
    first = np.argsort(np.concatenate([batch["sample_id"] for batch in single]))
    for name in ("keypoints_3d", "crop_shift"):
        expected = np.concatenate([batch[name] for batch in single])[first]
        np.testing.assert_array_equal(in_order[name], np.tile(expected, (3, 1, 1)[: expected.ndim]))
    held_out = source.sample(100)
    assert len(held_out["image"]) == 24
    assert not held_out["version"].any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"versions": 0}, r"data\.rendered\.versions is 0, less than 1"),
        ({"background": "green,clutter"}, "names 2 backgrounds for data.rendered.versions=1"),
        ({"background": ""}, "names 0 backgrounds"),
        ({"versions": 2, "count": 0}, "without end, each of them once: give a count"),
    ],
)
def test_impossible_versions_are_refused(rendered_config, open_source, fields, message):
    rendered_config.rendered.update(fields)
    with pytest.raises(ValueError, match=message):
        open_source(rendered_config)


def test_rendered_labels_are_those_of_records(rendered_config, record_config, open_source):
    rendered_config.labels = record_config.labels = True
    rendered = open_source(rendered_config).sample(2)
    records = open_source(record_config).sample(2)
    assert set(rendered) == set(records)
    for name in rendered:
        assert rendered[name].dtype == records[name].dtype, name
        assert rendered[name].shape[1:] == records[name].shape[1:] or name == "image"
    points = rendered["keypoints_2d"]
    projected = np.einsum("nij,nkj->nki", rendered["intrinsics"], rendered["keypoints_3d"])
    np.testing.assert_allclose(projected[..., :2] / projected[..., 2:], points, atol=1e-2)
    np.testing.assert_allclose((points.min(1) + points.max(1)) / 2, 7.5, atol=1e-3)


def test_endless_hands_never_repeat(rendered_config, open_source, mesh):
    rendered_config.rendered.count = 0
    rendered_config.labels = True
    source = open_source(rendered_config)
    assert source.num_examples is source.steps_per_epoch is None
    batches = take(source, 3)
    for batch in batches:
        assert_batch(batch, mesh, 16)
    np.testing.assert_array_equal(
        np.concatenate([batch["sample_id"] for batch in batches]), np.arange(24)
    )
    assert_equal(take(source, 1, start=2)[0], batches[2])
    other = take(open_source(rendered_config, seed=1), 1)[0]
    assert not np.array_equal(other["keypoints_3d"], batches[0]["keypoints_3d"])


def test_held_out_hands_are_others(rendered_config, open_source):
    rendered_config.labels = True
    source = open_source(rendered_config)
    held_out = source.sample(500)
    assert len(held_out["image"]) == 24
    train = np.concatenate([batch["keypoints_3d"] for batch in take(source, 5)])
    assert not {joints.tobytes() for joints in held_out["keypoints_3d"]} & {
        joints.tobytes() for joints in train
    }
    assert_equal(open_source(rendered_config, train=False).sample(500), held_out)


def test_rendered_source_leaves_tensorflow_alone():
    """The renderer is imported but replaced by a stand-in, which compiles faster."""
    code = (
        "import sys, peclr_jax.input_pipeline as pipeline;"
        "from tests.stand_ins import fake_versions;"
        "from peclr_jax.input_pipeline import from_rendered;"
        "config = pipeline.default_config(); from_rendered.make_render(config.rendered);"
        "from_rendered.make_render = lambda fields: fake_versions;"
        "config.rendered.count = config.rendered.held_out = config.rendered.chunk = 8;"
        "from peclr_jax.devices.mesh import make_mesh; mesh = make_mesh();"
        "source = pipeline.make_source(config, train=True, batch_size=8, seed=0, mesh=mesh);"
        "assert next(source.batches())['image'].shape == (8, 96, 96, 3); source.sample(1);"
        "loaded = {name.split('.')[0] for name in sys.modules};"
        "assert 'peclr_jax' in loaded and not loaded & {'tensorflow', 'tensorflow_datasets'}"
    )
    environment = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert result.returncode == 0, result.stderr.decode()


def test_default_configuration_is_valid():
    from peclr_jax.input_pipeline.config import check

    check(default_config())
