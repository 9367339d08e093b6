"""What the tests of all builders share; a module says which data set it is about, as NAME."""

import json
import re
import shutil

import pytest

from data import build
from tests.data import records


@pytest.fixture
def raw(request, tmp_path):
    """A copy of the data set's made-up raw files, to be changed by a test."""
    return shutil.copytree(records.DATA / request.module.NAME / "dummy_data", tmp_path / "raw")


@pytest.fixture
def photos(tmp_path):
    """Writes pictures, other files and labels into a new folder, and returns it."""
    folder = tmp_path / "photos"

    def write(files, boxes=None):
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content) if isinstance(content, bytes) else content.save(path)
        if boxes is not None:
            (folder / "boxes.json").write_text(json.dumps(boxes))
        return folder

    return write


@pytest.fixture
def prepared(request, tmp_path):
    """Writes records of raw files and returns their builder."""

    def write(manual_dir, config=""):
        name = f"{request.module.NAME}/{config}".rstrip("/")
        return records.write(name, manual_dir, tmp_path / "records")

    return write


@pytest.fixture(scope="module")
def dummy(request, tmp_path_factory):
    """The builder of the made-up raw files' records."""
    name = request.module.NAME
    return records.write(name, records.DATA / name / "dummy_data", tmp_path_factory.mktemp("data"))


@pytest.fixture
def refused(request, tmp_path, capsys):
    """Checks that a build ends with one sentence and exit code 2, and leaves no records."""

    def check(manual_dir, message, name=None, data_dir=tmp_path / "records"):
        flags = [f"--data_dir={data_dir}", *([f"--manual_dir={manual_dir}"] if manual_dir else [])]
        assert build.main([name or request.module.NAME, *flags]) == 2
        lines = capsys.readouterr().err.splitlines()
        (said,) = [line for line in lines if "rror" in line or "Traceback" in line]
        assert said.startswith("error: ")
        assert re.search(message, said), said
        assert not said.endswith(".")
        assert not list(tmp_path.rglob("*.array_record*"))

    return check
