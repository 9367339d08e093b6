"""Records as batches: crops and canvases in the same order, and memory kept between them."""

import ctypes
import os
import resource
import sys
import types

import jax
import numpy as np
import pytest
import tensorflow as tf

from peclr_jax.errors import MachineError, UserError
from peclr_jax.geometry import affine
from peclr_jax.input_pipeline import from_records, records, stores


def test_batches_are_the_canvases_of_their_crops(record_spec):
    """Of records: in the same order, with the same labels, the last batch smaller."""
    spec = record_spec()
    parts = from_records.choose_splits(from_records.open_datasets(spec), spec.splits)
    options = {"size": 24, "margin": 2.25, "labels": True, "threads": 2}
    order = [np.arange(16)[::-1][start : start + 6] for start in range(0, 16, 6)]
    crops = list(records.RecordStore(parts, **options).stream(order))
    canvases = list(records.RecordStore(parts, canvases=True, **options).stream(order))
    assert [len(batch["image"]) for batch in canvases] == [6, 6, 4]
    shown = jax.jit(affine.apply_to_images, static_argnums=2)
    for plain, laid in zip(crops, canvases, strict=True):
        assert set(laid) == {*plain, "to_source"}
        assert laid["image"].shape[1:] == (28, 28, 3)
        for name in plain.keys() - {"image"}:
            np.testing.assert_array_equal(laid[name], plain[name], err_msg=name)
        seen = shown(laid["image"], laid["to_source"], 24)
        assert np.abs(np.asarray(seen) - plain["image"])[:, 2:-2, 2:-2].mean() < 4


@pytest.mark.parametrize("canvases", [False, True])
def test_labels_are_read_without_their_images(record_spec, monkeypatch, canvases):
    spec = record_spec()
    parts = from_records.choose_splits(from_records.open_datasets(spec), spec.splits)
    options = {"size": 24, "margin": 2.25, "labels": True, "canvases": canvases, "threads": 2}
    store = records.RecordStore(parts, **options)
    (whole,) = store.stream([np.arange(16)])
    monkeypatch.setattr(records, "_READ_AT_ONCE", 7)
    monkeypatch.setattr(store, "_decode", lambda example: pytest.fail("decoded"))
    labels = store.labels()
    assert labels.keys() == whole.keys() - {"image", "to_source"}
    for name, array in labels.items():
        np.testing.assert_array_equal(array, whole[name], err_msg=name)
    rows = stores.keep_fraction(store, 0.5, 0)
    np.testing.assert_array_equal(rows.labels()["sample_id"], rows.identities().sample_ids)


def test_records_of_earlier_versions_have_no_score(record_spec, monkeypatch):
    spec = record_spec()
    parts = from_records.choose_splits(from_records.open_datasets(spec), spec.splits)
    store = records.RecordStore(parts, size=16, margin=2.0, labels=True, threads=1)

    def earlier(rows):
        for record in whole(rows):
            example = tf.train.Example.FromString(record)
            del example.features.feature["score"]
            yield example.SerializeToString()

    whole = store._records.__getitems__
    source = types.SimpleNamespace(__getitems__=lambda rows: list(earlier(rows)))
    (before,) = store.stream([np.arange(4)])
    monkeypatch.setattr(store, "_records", source)
    (after,) = store.stream([np.arange(4)])
    np.testing.assert_array_equal(after["score"], 1)
    assert after["score"].dtype == np.float32
    for name in before:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)


@pytest.fixture
def damaged(record_spec, tmp_path):
    """Records of which one shard has other bytes in its middle; that one, and what opens them."""
    spec = record_spec(data_dir=str(tmp_path), manual_dir=record_spec().manual_dir)
    parts = from_records.choose_splits(from_records.open_datasets(spec), spec.splits)
    (shard,) = tmp_path.rglob("*validation.array_record*")
    content = bytearray(shard.read_bytes())
    content[5000:5050] = bytes(255 - byte for byte in content[5000:5050])
    shard.write_bytes(content)
    return shard, records.RecordStore(parts, size=16, margin=2.0, labels=True, threads=1)


def test_a_damaged_record_is_named_by_its_file(damaged):
    shard, store = damaged
    told = rf"^{shard} is damaged \(.*\): write the records again with `python -m data"
    with pytest.raises(UserError, match=told):
        store.labels()
    with pytest.raises(UserError, match=told):
        list(store.stream([np.arange(8), np.arange(8, 16)]))


def test_records_that_are_cut_off_are_not_opened(damaged, record_spec, tmp_path):
    shard, _ = damaged
    os.truncate(shard, 70_000)
    with pytest.raises(UserError, match=rf"^{shard} is damaged or cut off: write the records"):
        from_records.open_datasets(record_spec(data_dir=str(tmp_path)))


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's alone")
def test_glibc_takes_every_option():
    assert records.keep_freed_memory()
    assert records.keep_freed_memory()


def test_other_allocators_are_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not records.keep_freed_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not records.keep_freed_memory()


@pytest.fixture
def few_files():
    """The process may open 100 files more than it has, until it asks for more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = len(os.listdir("/dev/fd")) + 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, before[1]))
    yield low
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_records_in_more_files_than_may_be_open(record_spec, few_files):
    spec = record_spec()
    parts = 200 * from_records.choose_splits(from_records.open_datasets(spec), spec.splits)
    store = records.RecordStore(parts, size=16, margin=2.0, threads=1)
    of_every_part = np.arange(0, len(store), 16)
    (batch,) = store.stream([of_every_part])
    assert len(batch["image"]) == len(of_every_part) == 200
    np.testing.assert_array_equal(batch["image"], batch["image"][:1].repeat(200, 0))


def test_a_system_that_refuses_so_many_files(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (1024, 4096))
    changed = []
    monkeypatch.setattr(resource, "setrlimit", lambda limit, values: changed.append(values))
    for count in (16, 2048, 3840):
        records.allow_open_files(count)
    assert changed == [(1040, 4096), (3072, 4096), (4096, 4096)]
    with pytest.raises(MachineError, match=r"lie in 3,841 files, but .* open 4,096: raise"):
        records.allow_open_files(3841)
