"""Records: the same from every cache, process and device; the data sets' files; the labels."""

import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
from absl import logging
from PIL import Image

from data import build, schema
from peclr_jax import outputs, specs
from peclr_jax.devices.mesh import data_sharding, make_mesh
from peclr_jax.errors import UserError
from peclr_jax.geometry import affine
from peclr_jax.input_pipeline import DataSpec, from_records, make_source, open_split
from peclr_jax.input_pipeline.records import RecordStore
from tests.input_pipeline.conftest import assert_equal, join


def assert_split(batch, mesh):
    assert batch["image"].dtype == np.uint8
    for array in batch.values():
        assert array.sharding.is_equivalent_to(data_sharding(mesh), array.ndim)
        assert array.dtype.itemsize <= 4


@pytest.mark.slow
def test_records_come_the_same_from_everywhere(record_spec, open_source, take, mesh):
    source = open_source(record_spec(labels=True))
    assert_split(next(source.batches()), mesh)
    assert (source.num_examples, source.steps_per_epoch) == (16, 2)
    batches = take(source, 5)
    assert batches[0]["image"].shape == (8, 28, 28, 3)  # canvases of crops of 24
    # An epoch is every image once: four samples in four versions.
    epoch = join(batches[2:4])
    numbers = sorted(zip(epoch["sample_id"].tolist(), epoch["version"].tolist(), strict=True))
    assert numbers == list(itertools.product(range(4), range(4)))
    assert_equal(take(source, 1, start=4)[0], batches[4])
    for cache in ("host", "device"):
        cached = open_source(record_spec(labels=True, cache=cache))
        assert_split(next(cached.batches()), mesh)
        crops = take(cached, 2, start=3)[1]
        assert crops["image"].shape == (8, 24, 24, 3)
        assert_equal(cached.sample(3), source.sample(3))
        canvases = jax.tree.map(jnp.asarray, batches[4])
        seen = affine.apply_to_images(canvases.pop("image"), canvases.pop("to_source"), 24)
        difference = np.abs(np.asarray(seen) - crops.pop("image"))
        assert difference[:, 2:-2, 2:-2].mean() < 4
        assert_equal(canvases, crops)


def test_labels_fit_the_crops(record_spec, open_source, take):
    (batch,) = take(open_source(record_spec(labels=True)), 1)
    assert {f"{name}_valid" for name in schema.LABELS} < set(batch)
    points = batch["keypoints_2d"]
    # Crops are of whole pixels of the image as it is decoded.
    np.testing.assert_allclose((points.min(1) + points.max(1)) / 2, 11.5, atol=0.75)
    side = (points.max(1) - points.min(1)).max(-1)
    np.testing.assert_allclose(side, 24 / (1.5 * 1.5), atol=0.4)
    projected = np.einsum("nij,nkj->nki", batch["intrinsics"], batch["keypoints_3d"])
    np.testing.assert_allclose(projected[..., :2] / projected[..., 2:], points, atol=1e-3)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, {"image", "to_source"}),
        ({"cache": "host"}, {"image"}),
        ({"pairs": "versions"}, {"image", "to_source", "partner", "partner_to_source"}),
    ],
)
def test_without_labels_only_images_come(record_spec, open_source, take, fields, names):
    source = open_source(record_spec(**fields))
    assert set(take(source, 1)[0]) == names
    assert set(source.sample(1)) == {"image"}


def test_processes_and_devices_do_not_change_the_batch(record_spec, open_source, take):
    (whole,) = take(open_source(record_spec()), 1, start=1)
    source = open_source(record_spec())
    parts = [next(replace(source, process=(i, 2)).host_batches(1)) for i in range(2)]
    assert_equal(join(parts), whole)
    one = open_source(record_spec(), mesh=make_mesh(jax.devices()[:1]))
    assert_equal(take(one, 1, start=1)[0], whole)


def test_held_out_images_are_not_trained_on(record_spec, open_source, take):
    spec = record_spec(split="train", labels=True)
    source = open_source(spec)
    held_out = source.sample(100)
    assert len(held_out["image"]) == 4
    (batch,) = take(source, 1)
    assert not set(held_out["sample_id"].tolist()) & set(batch["sample_id"].tolist())


@pytest.mark.parametrize(
    ("split", "held_out", "said"),
    [
        ("train", "validation", "3 held-out images: freihand (validation)"),
        ("validation", "evaluation", "2 held-out images: freihand (evaluation)"),
        (
            "train",
            "nothing",
            "3 training images: freihand (train) (no data set has a split 'nothing' to hold out)",
        ),
        (
            "train+validation",
            "validation",
            "3 training images: freihand (validation) (the splits 'train+validation' and "
            "'validation' of freihand overlap)",
        ),
        (
            "train[:6]",
            "train[5:]",
            "3 training images: freihand (train[5:]) (the splits 'train[:6]' and 'train[5:]' of "
            "freihand overlap)",
        ),
        ("train[:4]", "train[4:]", "3 held-out images: freihand (train[4:])"),
    ],
)
def test_what_is_monitored_on_is_said(record_spec, split, held_out, said):
    spec = record_spec(split=split, held_out_split=held_out)
    source = make_source(spec, batch_size=1, seed=0, mesh=make_mesh(jax.devices()[:1]))
    assert source.held_out.describe(3) == said


def test_data_sets_without_a_held_out_split_are_not_named(record_spec, shared):
    """Of two data sets only that one is monitored on which has the split."""
    single = shared / "fixtures/freihand_mini"  # one sample, of which none can be held out
    folders = f"{single},{record_spec().manual_dir}"
    spec = record_spec(names="freihand,freihand", manual_dir=folders, split="train")
    source = make_source(spec, batch_size=1, seed=0, mesh=make_mesh(jax.devices()[:1]))
    assert source.held_out.describe(100) == "4 held-out images: freihand (validation)"


def test_two_data_sets_are_mixed(record_spec, shared, open_source, take):
    other = shared / "fixtures/ge_realworld_fhlayout_mini"
    folders = f"{record_spec().manual_dir},{other}"
    spec = record_spec(names="freihand,freihand", manual_dir=folders, weights="1,3", labels=True)
    source = open_source(spec)
    assert source.num_examples == 16 + 32
    for batch in take(source, 3):
        # The reference bone is 2.0 cm in our drawings, and 4.0 to 5.4 cm in the photographs.
        assert (batch["bone_length"] < 0.03).sum() == 2


def read(spec, split, batch_size):
    opened = open_split(spec, split, batch_size=batch_size)
    batches = list(opened.batches())
    sizes = [len(batch["image"]) for batch in batches]
    assert sum(sizes) == opened.num_examples
    assert all(size == batch_size for size in sizes[:-1])
    return join(batches)


def test_a_split_comes_once_in_the_order_of_its_records(record_spec):
    whole = read(record_spec(labels=True), "train+validation", 5)
    assert len(whole["image"]) == 16
    assert_equal(read(record_spec(labels=True), "train+validation", 1), whole)


def test_the_evaluation_comes_in_the_order_of_its_files(record_spec, shared):
    folder = shared / "fixtures/freihand_mini"
    images = read(record_spec(manual_dir=str(folder), labels=True), "evaluation", 3)
    np.testing.assert_array_equal(images["sample_id"], np.arange(8))
    scale = json.loads((folder / "evaluation_scale.json").read_text())
    np.testing.assert_allclose(images["bone_length"], np.ravel(scale), rtol=1e-6)
    assert images["intrinsics_valid"].all()
    assert not images["keypoints_3d_valid"].any()


@pytest.mark.parametrize("crop", ["hand", "image"])
def test_points_find_back_into_the_image(record_spec, shared, crop):
    folder = shared / "fixtures/ge_realworld_fhlayout_mini"
    hands = read(record_spec(manual_dir=str(folder), labels=True, crop=crop), "evaluation", 16)
    intrinsics = np.asarray(json.loads((folder / "evaluation_K.json").read_text()))
    joints = np.asarray(json.loads((folder / "evaluation_xyz.json").read_text()))
    projected = np.einsum("nij,nkj->nki", intrinsics, joints)
    expected = projected[..., :2] / projected[..., 2:]
    scale, shift = hands["crop_scale"], hands["crop_shift"]
    points = (hands["keypoints_2d"] - shift[:, None]) / scale[:, None, None]
    np.testing.assert_allclose(points, expected, atol=2e-3)
    if crop == "image":  # of 224 px
        np.testing.assert_allclose(scale, 24 / 224, rtol=1e-6)
        np.testing.assert_allclose(shift, 11.5 - 111.5 * 24 / 224, atol=1e-5)


@pytest.mark.parametrize("cache", ["none", "host"])
def test_a_fraction_keeps_whole_hands(record_spec, open_source, take, cache):
    spec = record_spec(labels=True, label_fraction=0.5, cache=cache)
    source = open_source(spec)
    assert (source.num_examples, source.steps_per_epoch) == (8, 1)
    (batch,) = take(source, 1)
    ids = sorted(batch["sample_id"].tolist())
    assert len(set(ids)) == 2
    assert ids == sorted(4 * list(set(ids)))
    assert open_split(spec, spec.split, batch_size=3).num_examples == 16


def test_nothing_is_read_for_all_labels(record_spec, open_source, monkeypatch):
    monkeypatch.setattr(RecordStore, "identities", lambda self: pytest.fail("read"))
    open_source(record_spec())


def test_records_of_other_files_are_not_taken_for_these(record_spec, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(from_records.logging, "warning", lambda text, *_: told.append(text))

    def opened(folder):
        return from_records.open_datasets(record_spec(manual_dir=str(folder)))[0]

    drawings = record_spec().manual_dir
    link, other = tmp_path / "link", tmp_path / "other"
    link.symlink_to(drawings)
    shutil.copytree(drawings, other)
    first, second = opened(drawings), opened(other)
    assert opened(link).data_dir == first.data_dir
    assert second.data_dir != first.data_dir
    assert second.info.metadata["manual_dir"] == str(other)
    assert opened(other).data_dir == second.data_dir
    (once,) = told  # when they were written
    assert "get their own" in once


CHANGES = {
    "a label edited": lambda raw: edit(
        raw / "training_scale.json", lambda s: [1.01 * s[0], *s[1:]]
    ),
    "labels that are gone": lambda raw: (raw / "evaluation_xyz.json").unlink(),
    "masks that are gone": lambda raw: shutil.rmtree(raw / "training/mask"),
}


def edit(path, change):
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


@pytest.mark.parametrize("case", CHANGES)
def test_records_of_files_that_have_changed_are_not_taken(record_spec, tmp_path, case):
    raw = shutil.copytree(record_spec().manual_dir, tmp_path / "raw")
    where = {"manual_dir": str(raw), "data_dir": str(tmp_path / "records")}

    def opened(**fields):
        return from_records.open_datasets(record_spec(**(where | fields)))[0]

    first = opened()
    assert opened().data_dir == first.data_dir
    CHANGES[case](raw)
    second = opened()
    assert second.data_dir != first.data_dir
    assert opened().data_dir == second.data_dir
    assert from_records.fingerprints([second]) != from_records.fingerprints([first])
    # The name alone takes the records as they are.
    assert opened(manual_dir="").data_dir == first.data_dir


@pytest.mark.parametrize("name", ["who?", "a*b", "caf\udce9", 127 * "ü" + "x", "try [1] b"])
def test_records_of_other_files_lie_in_a_folder_of_any_name(record_spec, tmp_path, name):
    spec = record_spec(data_dir=str(tmp_path / "records"))
    from_records.open_datasets(spec)
    raw = tmp_path / name
    shutil.copytree(spec.manual_dir, raw)
    (raw / "evaluation_xyz.json").unlink()
    first, again = (
        from_records.open_datasets(replace(spec, manual_dir=str(raw)))[0] for _ in range(2)
    )
    assert first.data_dir == again.data_dir
    own = Path(first.data_dir).parents[1].name
    assert (
        re.fullmatch(r"(.+)-[0-9a-f]{8}", own)[1]
        == {
            "who?": "who_",
            "a*b": "a_b",
            "caf\udce9": "caf_",
            127 * "ü" + "x": 123 * "ü",
            "try [1] b": "try [1] b",
        }[name]
    )


def test_records_outlive_their_raw_files_but_not_a_wrong_name(record_spec, tmp_path):
    raw = shutil.copytree(record_spec().manual_dir, tmp_path / "raw")
    spec = record_spec(manual_dir=str(raw), data_dir=str(tmp_path / "records"))
    (first,) = from_records.open_datasets(spec)
    shutil.rmtree(raw)
    (again,) = from_records.open_datasets(spec)
    assert again.data_dir == first.data_dir
    with pytest.raises(FileNotFoundError, match=r"needs its raw files, but .*absent is not there"):
        from_records.open_datasets(replace(spec, manual_dir=str(tmp_path / "absent")))


@pytest.fixture
def photos(tmp_path):
    """Twelve photos, three of them twice and two of them three times."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(12):
        grey = Image.new("RGB", (40 + number, 30), (20 * number,) * 3)
        names = ["", *["copy"] * (number < 5), *["again"] * (number < 2)]
        for name in names:
            grey.save(folder / f"{number:02}{name}.png")
    fields = {"source": "tfds", "names": "image_folder", "manual_dir": str(folder)}
    return {**fields, "data_dir": str(folder / "records"), "source_size": 24, "crop": "image"}


def greys(batch):
    return sorted(np.round(batch["image"].mean((1, 2, 3)) / 20).astype(int).tolist())


@pytest.mark.parametrize("cache", ["host", "device"])
def test_copies_are_no_negatives_of_each_other(photos, open_source, take, cache):
    spec = specs.changed(DataSpec(), photos | {"cache": cache}, "--config.data")
    for with_labels in (False, True):
        source = open_source(replace(spec, labels=with_labels), contrastive=True)
        assert source.num_examples == 10  # and two are held out
        for batch in take(source, 4):
            assert len(set(greys(batch))) == 8
    assert open_source(replace(spec, labels=True)).num_examples == 17


def test_copies_fill_a_batch_that_needs_them(photos, open_source, monkeypatch):
    open_source(specs.changed(DataSpec(), photos, "--config.data"))  # writes the records
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
    spec = specs.changed(DataSpec(), photos | {"cache": "host"}, "--config.data")
    assert open_source(spec, contrastive=True).num_examples == 10
    assert said == ["7 images are copies of others and left out of pre-training"]
    assert open_source(spec, batch_size=16, contrastive=True).num_examples == 17
    _, warning = said
    assert warning.startswith("A batch of 16 takes more images than the 10 different ones")


def test_data_are_opened_once(photos, open_source, take, monkeypatch, tmp_path):
    """What is trained on is what the fingerprint is of, though the folder changes meanwhile."""
    spec = specs.changed(DataSpec(), photos, "--config.data")
    source = open_source(spec)
    folder = tmp_path / "photos"
    Image.new("RGB", (99, 30)).save(folder / "new.png")
    outputs.mark(folder / "run")
    Image.new("RGB", (98, 30)).save(folder / "run/views.png")
    assert source.fingerprint.startswith("image_folder 2.")
    assert len(list(folder.rglob("dataset_info.json"))) == 1
    take(source, 1)
    source.sample(2)
    assert len(list(folder.rglob("dataset_info.json"))) == 1
    changed = open_source(spec)
    assert changed.fingerprint != source.fingerprint
    (folder / "new.png").unlink()
    again = open_source(spec)
    assert again.fingerprint == source.fingerprint
    assert len(list(folder.rglob("dataset_info.json"))) == 2


@pytest.mark.parametrize(
    ("opened", "name", "same"),
    [
        ("freihand", "freihand", True),
        ("freihand", "ho3d", False),
        ("ho3d/v2", "ho3d", True),
        ("ho3d", "ho3d/v2", True),
        ("ho3d/v3", "ho3d", False),
        ("ho3d/v3", "ho3d/v2", False),
        ("image_folder/1024px", "image_folder", True),
        ("image_folder", "image_folder/1024px", True),
    ],
)
def test_a_data_set_has_several_names(tmp_path, opened, name, same):
    assert from_records.is_named(build.make_builder(opened, tmp_path), name) == same


def test_records_without_random_access_are_refused(record_spec, tmp_path, open_source):
    builder = build.make_builder("freihand", tmp_path)
    tfrecord = type(builder)(data_dir=tmp_path, file_format="tfrecord")
    config = tfds.download.DownloadConfig(manual_dir=record_spec().manual_dir)
    tfrecord.download_and_prepare(download_config=config)
    with pytest.raises(ValueError, match=r"stored as tfrecord.*write them again"):
        open_source(record_spec(data_dir=str(tmp_path), manual_dir=""))


def test_no_records_and_no_files(record_spec, tmp_path, open_source):
    with pytest.raises(
        FileNotFoundError,
        match=r"no records of freihand .*--config\.data\.manual_dir=DIR.*-m data\.build freihand",
    ):
        open_source(record_spec(data_dir=str(tmp_path), manual_dir=""))


def test_missing_splits_and_too_few_images(record_spec, open_source):
    with pytest.raises(ValueError, match=r"no split 'training'; it has: .*train"):
        open_source(record_spec(split="training"))
    with pytest.raises(ValueError, match=r"no split 'test'; it has: .*evaluation"):
        open_split(record_spec(), "test", batch_size=2)
    for twice in ({"names": "freihand,freihand"}, {"split": "train+train[:1]"}):
        with pytest.raises(UserError, match=r"images of freihand \(train.*\) twice"):
            open_source(record_spec(**{"manual_dir": "", **twice}))
        spec = record_spec(**{"manual_dir": "", **twice})
        with pytest.raises(
            UserError, match=r"and --config\.split name images of freihand .* twice"
        ):
            open_split(spec, spec.split, batch_size=2)
    with pytest.raises(ValueError, match=r"freihand \(train\+validation\) has 16 images.*takes 32"):
        open_source(record_spec(), batch_size=32)


def test_what_was_counted_tells_whether_a_split_has_labels():
    counts = {"evaluation": {"labels": {"intrinsics": 3}}, "train": {"labels": {"keypoints_2d": 3}}}
    builder = SimpleNamespace(info=SimpleNamespace(metadata={"found": counts}))
    known = ("evaluation", "train", "of an earlier version")
    found = [from_records.may_be_labelled(builder, split) for split in known]
    assert found == [False, True, True]
