"""What the tests of all builders share."""

import pytest

from data import build


@pytest.fixture
def refused(tmp_path):
    """Checks that raw files are refused in one sentence, and that nothing is left of them."""

    def check(name, manual_dir, message):
        builder = build.make_builder(name, tmp_path / "records")
        with pytest.raises((ValueError, FileNotFoundError), match=message) as raised:
            build.prepare(builder, manual_dir)
        assert "\n" not in str(raised.value).strip()
        assert not list((tmp_path / "records").rglob("*.array_record*"))

    return check
