"""Values of label files; the converters' tests have more of them."""

from pathlib import Path

import pytest

from peclr_jax.errors import UserError
from peclr_jax.labels import values


def test_a_byte_order_mark_is_no_content(tmp_path):
    (tmp_path / "labels.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert values.read_json(tmp_path / "labels.json") == {"a": 1}


def test_sizes_must_be_those_of_the_photos():
    path, a, b = Path("labels.json"), Path("a.jpg"), Path("b.jpg")
    values.check_sizes(path, {a: (3, 4), b: (5, 6)}, {a: (3, 4), b: None})
    with pytest.raises(UserError, match=r"a 'b\.jpg' of 5x6 px, but that photo has 6x5 px"):
        values.check_sizes(path, {a: (3, 4), b: (5, 6)}, {a: (3, 4), b: (6, 5)})


def test_what_is_counted_is_told():
    assert values.counted({"apples": 2, "pears": 0}) == ["2 apples"]
