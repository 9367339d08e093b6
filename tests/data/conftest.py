"""What the tests of all builders share."""

import re
import shutil
from pathlib import Path

import pytest

from data import build

DATA = Path(build.__file__).parent


@pytest.fixture
def raw_files(tmp_path):
    """Copies the made-up raw files of a data set, to be changed by a test."""

    def copy(name):
        folder = tmp_path / "raw"
        shutil.copytree(DATA / name.partition("/")[0] / "dummy_data", folder)
        return folder

    return copy


@pytest.fixture
def prepared(tmp_path):
    """Writes records and returns their builder."""

    def prepare(name, manual_dir, data_dir=tmp_path / "records"):
        builder = build.make_builder(name, data_dir)
        build.prepare(builder, manual_dir)
        return builder

    return prepare


@pytest.fixture
def refused(tmp_path, capsys):
    """Checks that a build ends with one sentence and exit code 2, and leaves no records."""

    def check(name, manual_dir, message, data_dir=tmp_path / "records"):
        flags = [f"--data_dir={data_dir}", *([f"--manual_dir={manual_dir}"] if manual_dir else [])]
        assert build.main([name, *flags]) == 2
        lines = capsys.readouterr().err.splitlines()
        (said,) = [line for line in lines if "rror" in line or "Traceback" in line]
        assert said.startswith("error: ")
        assert re.search(message, said), said
        assert not said.endswith(".")
        assert not list(tmp_path.rglob("*.array_record*"))

    return check
