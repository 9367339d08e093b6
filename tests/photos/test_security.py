"""What strangers' photos and boxes must not do."""

import pytest
from PIL import Image

from peclr_jax.photos import boxes, find
from peclr_jax.photos.read import UnreadableImageError, read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a.jpg": [{"box": [0, 0, NaN, 5]}]}', '"box" must be four numbers'),
        ('{"a.jpg": [{"box": [0, 0, 1e12, 5]}]}', '"box" must be four numbers'),
        ('{"a.jpg": [{"box": [0, 0, 1e999, 5]}]}', "is not JSON .*overflow"),
        (f'{{"a.jpg": [{{"box": [0, 0, 1{"0" * 400}, 5]}}]}}', "is not JSON .*overflow"),
        ('{"a": ' + "[" * 100_000, "nested more than 100 times"),
    ],
    ids=["NaN", "far", "infinite", "huge", "nested"],
)
def test_boxes_are_numbers_that_photos_can_have(text, said, tmp_path):
    (tmp_path / "boxes.json").write_text(text)
    with pytest.raises(ValueError, match=said):
        boxes.read_boxes(tmp_path / "boxes.json", "right")


def test_formats_that_start_programs_are_not_opened(postscript, started):
    with pytest.raises(UnreadableImageError, match="not a JPEG, PNG or WebP"):
        read(postscript)
    assert not started


def test_links_that_lead_in_circles_end(tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "photo.jpg")
    for name in ("a", "b", "c"):
        (tmp_path / name).symlink_to(tmp_path, target_is_directory=True)
    assert [p.name for p in find.find_images(f"{tmp_path}/**/*.jpg")] == ["photo.jpg"]
