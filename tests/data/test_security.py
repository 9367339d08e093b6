"""What strangers' files must not do: run code, read elsewhere, fill the machine. Real attempts.

Those on pickles and archives alone are in test_pickles.py and test_archives.py.
"""

import json
import pickle
import resource

import numpy as np
import pytest
from PIL import Image

from data import images, pickles, validation
from data.image_folder import layout as image_folder
from data.youtube_3d_hands import layout as youtube
from data.youtube_3d_hands import mano


@pytest.mark.parametrize("name", ["MANO_RIGHT.pkl", "J_regressor.npy"])
def test_regressors_run_nothing(name, exploit, tmp_path):
    if name.endswith(".npy"):
        np.save(tmp_path / name, np.array([exploit]), allow_pickle=True)
    else:
        (tmp_path / name).write_bytes(pickle.dumps({"J_regressor": exploit}))
    with pytest.raises(ValueError, match=r"(refers to .*system|is not an array of NumPy)"):
        mano.read_regressor([tmp_path])


@pytest.mark.parametrize(
    "call",
    [(bytes, 10**11), (bytearray, 10**11), (bytes, np.int64(10**11)), (set, range(10**11))],
)
def test_short_pickles_do_not_become_long(call, tmp_path):
    class Call:
        def __reduce__(self):
            return call[0], call[1:]

    path = tmp_path / "0000.pkl"
    path.write_bytes(pickle.dumps({"camMat": Call()}, 2))
    with pytest.raises(ValueError, match=r"0000\.pkl (is not a pickle|refers to)"):
        pickles.load(path)


def test_lists_that_hold_each_other_many_times_are_not_counted_to_the_end():
    laughs = [1.0] * 10
    for _ in range(60):
        laughs = [laughs] * 10
    for value in (laughs, [[1.0] * 10**4] * 10**4, range(10**12)):
        with pytest.raises(ValueError, match=r"it (holds|is nested)"):
            pickles.as_numbers(value, 100)
    assert pickles.as_numbers([[1, 2.5], [3, 4]], 4).tolist() == [[1.0, 2.5], [3.0, 4.0]]


def test_links_that_lead_in_circles_end(tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "photo.jpg")
    for name in ("a", "b", "c"):
        (tmp_path / name).symlink_to(tmp_path, target_is_directory=True)
    assert [p.name for p in image_folder.list_images(tmp_path)] == ["photo.jpg"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "C:\\x.png", "a/../../b", ""])
def test_frames_outside_of_their_folder_are_refused(name, tmp_path):
    frame = {"id": 0, "name": name, "width": 8, "height": 8}
    (tmp_path / "youtube_train.json").write_text(json.dumps({"images": [frame]}))
    with pytest.raises(ValueError, match=r"(leads out of|is no file's name)"):
        youtube.read_split([tmp_path], "train", None)


def test_formats_that_start_programs_are_not_opened(postscript, started):
    with pytest.raises(ValueError, match="is not an image"):
        images.as_jpeg(postscript, "fetch it again")
    with pytest.raises(ValueError, match="is not an image"):
        images.size(postscript, "fetch it again")
    assert "not a JPEG" in validation.check_jpeg(postscript)
    assert not started


def test_images_with_too_many_pixels_are_refused(tmp_path, monkeypatch):
    assert Image.MAX_IMAGE_PIXELS is not None
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "decompression bomb" in validation.check_jpeg(tmp_path / "photo.jpg")
    for attempt in (images.as_jpeg, images.size):
        with pytest.raises(ValueError, match=r"photo\.jpg is not an image"):
            attempt(tmp_path / "photo.jpg", "shrink it")


def test_json_that_is_nested_deep_takes_no_memory(tmp_path):
    path = tmp_path / "training_xyz.json"
    path.write_bytes(b"[" * 100_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"training_xyz\.json is not a file of labels .*100 times"):
        validation.read_label_file(path, (21, 3), "fetch it again")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
