"""The five builders on real photographs, in the layouts that people's disks have."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from data import build
from data.ho3d.layout import GROUND_TRUTH
from data.youtube_3d_hands import youtube_3d_hands_dataset_builder as youtube_3d_hands
from peclr_jax import input_pipeline
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.spec import DataSpec
from tests.data import releases
from tests.data.records import assert_projected, counts, read, write

ALL = "(21 joints in 3D, 21 joints in 2D, intrinsics, bone length, box)"


@pytest.fixture(scope="module")
def photographs(shared):
    return releases.Photographs(shared / "fixtures/ge_realworld_fhlayout_mini")


@pytest.fixture
def built(tmp_path, capsys):
    """Builds as a user does; returns what is said of the records, and their builder."""

    def run(name, manual_dir):
        where = tmp_path / "records"
        shutil.rmtree(where, ignore_errors=True)
        assert build.main([name, f"--manual_dir={manual_dir}", f"--data_dir={where}"]) == 0
        *said, _ = capsys.readouterr().out.splitlines()
        return said, build.make_builder(name, where)

    return run


def beside(first, second):
    return [first.parent, first, second]


def twice(first, second):
    """As unzippers do: a folder in a folder of the same name."""
    for folder in (first, second):
        folder.rename(folder.with_name("x"))
        folder.mkdir()
        folder.with_name("x").rename(folder / folder.name)
    return [first.parent, first, second, first / first.name, second / second.name]


def zipped(first, second):
    """As downloaded, the training set alone being unpacked."""
    releases.packed(second, second.with_suffix(".zip"))
    return [first.parent, first]


def zipped_around(first, second):
    releases.packed(second, second.with_suffix(".zip"), "FreiHAND_pub_v2_eval")
    return [first.parent, first]


def zipped_beside_ho3d(first, second):
    zipped(first, second)
    (first.parent / "HO3D_v3" / "evaluation" / "SM1").mkdir(parents=True)
    (first.parent / "HO3D_v3" / GROUND_TRUTH).write_text("[]")
    return [first.parent]


def both_zipped(first, second):
    zipped(first, second)
    releases.packed(first, first.with_suffix(".zip"))
    return [first.parent]


def labels_alone(first, second):
    shutil.rmtree(second / "evaluation")
    return beside(first, second)


def own_names(first, second):
    first.rename(first.with_name("train"))
    second.rename(first.with_name("val"))
    return [first.parent]


def inside(first, second):
    second.rename(first / second.name)
    return [first, first.parent, first / second.name]


def lower_case(first, second):
    first.rename(first.with_name("freihand_pub_v2"))
    second.rename(second.with_name("freihand_pub_v2_eval"))
    return [first.with_name("freihand_pub_v2_eval")]


def a_part_is_named(first, second):
    return [first / "training", second / "evaluation"]


def merged(first, second):
    for path in second.glob("evaluation_*.json"):
        path.replace(first / path.name)
    shutil.rmtree(second)
    return [first, first.parent]


def without_images_in_the_first(first, second):
    shutil.rmtree(first / "evaluation")
    return beside(first, second)


LAYOUTS = (
    beside,
    twice,
    zipped,
    zipped_around,
    zipped_beside_ho3d,
    both_zipped,
    labels_alone,
    own_names,
    inside,
    lower_case,
    a_part_is_named,
    merged,
    without_images_in_the_first,
)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_freihands_labels_are_found(layout, photographs, built, tmp_path):
    for given in layout(*releases.freihand(photographs, tmp_path / "downloads")):
        said, builder = built("freihand", given)
        assert said == [
            f"train: 29 images, 29 labelled {ALL}",
            f"validation: 3 images, 3 labelled {ALL}",
            f"evaluation: 16 images, 16 labelled {ALL}",
        ]
        for record, points in zip(
            read(builder, "evaluation"), photographs.points[32:], strict=True
        ):
            np.testing.assert_allclose(record["keypoints_3d"], points, rtol=1e-5)


def test_without_freihands_second_archive_it_is_said(photographs, built, tmp_path):
    first, second = releases.freihand(photographs, tmp_path / "downloads")
    shutil.rmtree(second)
    said, _ = built("freihand", first)
    assert said[2] == "evaluation: 16 images, 0 labelled (intrinsics, bone length)"


def test_labels_of_other_images_are_not_taken(photographs, built, tmp_path, capsys):
    """What is called as the official folder is meant; what is not is passed over."""
    first, second = releases.freihand(photographs, tmp_path / "downloads")
    shutil.rmtree(second / "evaluation")
    scales = json.loads((second / "evaluation_K.json").read_text())
    (second / "evaluation_K.json").write_text(json.dumps(scales[::-1]))
    where = tmp_path / "none"
    assert build.main(["freihand", f"--manual_dir={first}", f"--data_dir={where}"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"the labels in {second} are not those of {first / 'evaluation/rgb'}" in said
    second.rename(second.with_name("others"))
    said, _ = built("freihand", first.parent)
    assert said[2] == "evaluation: 16 images, 0 labelled (intrinsics, bone length)"
    others = second.with_name("others")
    assert said[3].startswith(f"left out: the labels in {others}, which are not those of {first}/")


def test_two_data_sets_are_not_mixed(photographs, tmp_path, capsys):
    first, _ = releases.freihand(photographs, tmp_path / "downloads")
    first.rename(first.with_name("one"))
    shutil.copytree(photographs.folder, first.with_name("two"))
    assert build.main(["freihand", f"--manual_dir={first.parent}", f"--data_dir={tmp_path}/r"]) == 2
    assert "both hold training/rgb: pass one of them" in capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def versions(photographs, tmp_path):
    """HO-3D v2 and v3 side by side, and what their ground truth is."""
    folder = tmp_path / "ho3d"
    return folder, {v: releases.ho3d(photographs, folder, v) for v in ("v2", "v3")}


def said_of_ho3d(version, labelled):
    count = {"v2": 3, "v3": 2}[version]
    known = ALL if labelled else "(the wrist in 3D, the wrist in 2D, intrinsics, box)"
    evaluation = f"evaluation: {count} images, {count if labelled else 0} labelled {known}"
    return [
        f"train: 7 images, 7 labelled {ALL}",
        f"validation: 1 image, 1 labelled {ALL}",
        evaluation,
    ]


PLACES = {
    "beside both": lambda folder, version: folder,
    "with its own": lambda folder, version: folder / f"HO3D_{version}",
    "with the other": lambda folder, version: folder / f"HO3D_{'v3' if version == 'v2' else 'v2'}",
    "in a third folder": lambda folder, version: folder / "ground truth",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("owner", ["v2", "v3"])
def test_one_ground_truth_beside_two_versions_of_ho3d(place, owner, versions, built):
    folder, truth = versions
    path = PLACES[place](folder, owner) / GROUND_TRUTH
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(truth[owner]))
    for version in ("v2", "v3"):
        said, builder = built(f"ho3d/{version}", folder)
        assert said == said_of_ho3d(version, version == owner)
        for record in read(builder, "train"):
            assert_projected(record["keypoints_2d"], record["keypoints_3d"], record["intrinsics"])
        # The first by name of the persons of whom there are the fewest sequences.
        assert read(builder, "validation")[0]["sample_id"] == 2


@pytest.mark.parametrize("given", [".", "HO3D_v2", "HO3D_v3", "HO3D_v2/train"])
def test_either_version_of_ho3d_may_be_named(given, versions, built):
    folder, truth = versions
    (folder / GROUND_TRUTH).write_text(json.dumps(truth["v3"]))
    assert built("ho3d/v3", folder / given)[0] == said_of_ho3d("v3", True)
    assert built("ho3d/v2", folder / given)[0] == said_of_ho3d("v2", False)


def test_ground_truth_of_nothing_that_is_there_is_refused(versions, tmp_path, capsys):
    folder, truth = versions
    (folder / GROUND_TRUTH).write_text(json.dumps(truth["v2"][::-1]))
    assert build.main(["ho3d/v2", f"--manual_dir={folder}", f"--data_dir={tmp_path}/r"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "evaluation_xyz.json: the wrist of entry" in said


def test_ground_truth_of_another_version_beside_an_archive_is_refused(versions, tmp_path, capsys):
    folder, truth = versions
    releases.packed(folder / "HO3D_v2", folder / "HO3D_v2.zip")
    releases.packed(folder / "HO3D_v3", folder / "HO3D_v3.zip")
    (folder / GROUND_TRUTH).write_text(json.dumps(truth["v3"]))
    assert build.main(["ho3d/v2", f"--manual_dir={folder}", f"--data_dir={tmp_path}/r"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "evaluation_xyz.json has 2 entries, but evaluation.txt lists 3 frames" in said


def test_versions_of_ho3d_in_folders_of_other_names(versions, built):
    folder, _ = versions
    (folder / "HO3D_v2").rename(folder / "new")
    (folder / "HO3D_v3").rename(folder / "old")
    for version in ("v2", "v3"):
        assert built(f"ho3d/{version}", folder)[0] == said_of_ho3d(version, False)


@pytest.mark.parametrize("around", ["", "HO3D_v2", "HO3D_V2"])
def test_ho3ds_archive_beside_the_other_version(around, versions, built, tmp_path):
    """Its depth images stay packed."""
    folder, truth = versions
    (folder / GROUND_TRUTH).write_text(json.dumps(truth["v2"]))
    releases.packed(folder / "HO3D_v2", folder / "HO3D_v2.zip", around)
    assert built("ho3d/v2", folder)[0] == said_of_ho3d("v2", True)
    extracted = tmp_path / "records/downloads/extracted"
    assert {path.name for path in extracted.rglob("*") if path.is_dir()} >= {"rgb", "meta"}
    assert not list(extracted.rglob("depth"))


@pytest.mark.parametrize("other", ["coco8/images/train/0", "FreiHAND_pub_v2/evaluation/rgb"])
def test_ho3ds_archive_beside_other_data_sets(other, versions, built):
    folder, _ = versions
    (folder / other).mkdir(parents=True)
    for version in ("v2", "v3"):
        releases.packed(folder / f"HO3D_{version}", folder / f"HO3D_{version}.zip")
        assert built(f"ho3d/{version}", folder)[0] == said_of_ho3d(version, False)


@pytest.mark.parametrize("given", [".", "youtube", "around"])
def test_youtube_3d_hands_without_some_videos(given, photographs, built, tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    releases.youtube_3d_hands(photographs, folder)
    if given == "around":
        folder = folder.rename(tmp_path / "data")
        given = ".."
        (tmp_path / "records").mkdir()
    said, builder = built("youtube_3d_hands", folder / given)
    known = "(21 joints in 2D, box)"
    lost = "frames are cut or stretched"
    assert said == [
        f"train: 8 images, 8 labelled {known}",
        f"validation: 2 images, 2 labelled {known}",
        f"test: 2 images, 2 labelled {known}",
        *(
            text
            for split, short, n, hands in (
                ("train", "train", 4, "4 hands"),
                ("validation", "val", 1, "1 hand"),
                ("test", "test", 1, "1 hand"),
            )
            for text in (
                f"left out: {split}: {hands}, whose frames are missing ({n} of {4 * n} frames; "
                f"all of 1 of 4 videos: {short}_gone)",
                f"left out: {split}: {hands}, whose {lost} ({n} of {4 * n} frames; {short}_wide, "
                "640x360 px, not 640x480): extract the frames of these videos as they are",
            )
        ),
    ]
    for record, row in zip(read(builder, "train"), [0, 1, 4, 5, 8, 9, 12, 13], strict=True):
        assert record["sample_id"] == row
        factor = 0.9 if row % 4 == 1 else 1
        pixels = (photographs.pixels(row) + 0.5) * factor - 0.5
        moved = pixels - record["keypoints_2d"]
        np.testing.assert_allclose(moved, np.tile(np.round(moved[0]), (21, 1)), atol=1e-3)
        assert record["image"].shape[1] < 640 * factor


@pytest.mark.parametrize("fields", [{}, {"hand_margin": 2.0, "source_size": 40}])
def test_crops_of_youtube_3d_hands_serve_as_whole_frames(
    fields, photographs, tmp_path, monkeypatch
):
    """Whatever the pipeline cuts out is the same, as far as JPEG goes."""
    releases.youtube_3d_hands(photographs, tmp_path)
    data = DataSpec(source="tfds", names="youtube_3d_hands", labels=True, **fields)
    batches = []
    for margin in (3.0, 99.0):
        monkeypatch.setattr(youtube_3d_hands, "_MARGIN", margin)
        write("youtube_3d_hands", tmp_path, tmp_path / f"{margin}")
        here = dataclasses.replace(data, data_dir=str(tmp_path / f"{margin}"))
        (batch,) = input_pipeline.open_split(here, "train", batch_size=8).batches()
        batches.append(batch)
    crops, frames = batches
    for name in ("keypoints_2d", "hand_box", "crop_scale"):
        np.testing.assert_allclose(crops[name], frames[name], rtol=1e-4, atol=1e-3)
    assert np.abs(crops["image"].astype(int) - frames["image"]).mean() < 1
    wide = dataclasses.replace(data, hand_margin=2.5, data_dir=str(tmp_path / "3.0"))
    with pytest.raises(UserError, match=r"source_margin is 3\.75, but the records of youtube"):
        input_pipeline.open_split(wide, "train", batch_size=8)


NAMES = {
    "png": {"Grasp1": "color/Color_{:04d}.png", "Rotate": "color/Color_{:04d}.png"},
    "upper case": {"Grasp1": "color/COLOR_{:04d}.BMP", "Rotate": "Color/Color_{:04d}.JPG"},
    "lower case": {"Grasp1": "color/color_{:04d}.bmp", "Rotate": "color/color_{:d}.jpeg"},
    "more digits": {"Grasp1": "color/Color_{:06d}.bmp", "Rotate": "color/color{:d}.png"},
}


@pytest.mark.parametrize("kind", NAMES)
def test_dexter_object_with_other_names(kind, photographs, built, tmp_path):
    folder = tmp_path / "raw/dexter+object/data"
    releases.dexter(photographs, folder, NAMES[kind])
    # What other programs leave there.
    (folder / "Grasp1" / NAMES[kind]["Grasp1"]).parent.joinpath("Thumbs.db").write_text("")
    known = "(5 joints in 3D, 5 joints in 2D, intrinsics, box)"
    for given in (tmp_path / "raw", folder, folder.parent, folder / "Grasp1"):
        said, builder = built("dexter_object", given)
        assert said == [
            f"test: 10 images, 10 labelled {known}",
            "left out: the sequences Grasp2, Occlusion, Rigid, Pinch, which are not there",
        ]
    for row, record in zip([*range(5), *range(7, 12)], read(builder, "test"), strict=True):
        tips = [4, 8, 12, 16, 20]
        pixels = photographs.pixels(row)[tips]
        np.testing.assert_allclose(record["keypoints_2d"][tips], pixels, atol=0.02)


def test_copies_in_two_formats_are_one_image(photographs, built, tmp_path):
    for ending in ("bmp", "png"):
        shutil.rmtree(tmp_path / "raw/Pinch/annotations", ignore_errors=True)
        releases.dexter(photographs, tmp_path / "raw", {"Pinch": f"color/Color_{{:04d}}.{ending}"})
    assert built("dexter_object", tmp_path / "raw")[0][0].startswith("test: 5 images, 5 labelled")


def test_photos_and_rendered_hands_are_counted_too(shared, built, tmp_path):
    folder = tmp_path / "raw"
    shutil.copytree(shared / "fixtures/hands_unlabelled", folder)
    (folder / "broken.jpg").write_text("no image")
    said, _ = built("image_folder/1024px", folder)
    assert said == [
        "train: 15 images, 0 labelled",
        "validation: 2 images, 0 labelled",
        "left out: 1 photo that cannot be read",
    ]
    assert sum(counts(write("image_folder", folder, tmp_path / "r")).values()) == 17
