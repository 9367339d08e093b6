"""Shared fixtures: eight virtual devices, reference numbers, real files, a cheap renderer."""

import atexit
import functools
import gc
import importlib.metadata
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

# Before the first import of jax: the sharding tests need more than one device, and what is run here
# takes less time than optimising it would. The fusion emitters would take half of all compilation,
# code generated in 32 parts a fifth; a version of XLA that does not know their flags would abort.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_force_host_platform_device_count=8",
        "--xla_backend_optimization_level=0",
        "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
        if importlib.metadata.version("jaxlib").startswith("0.10.")
        else "",
        os.environ.get("XLA_FLAGS", ""),  # of two that contradict each other the later one counts
    ]
)

# The same small networks are compiled in many tests, and again in the next run of them.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache/compiled")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import matplotlib

# Matplotlib's list of fonts takes seconds to make.
os.environ.setdefault("MPLCONFIGDIR", matplotlib.get_configdir())
# Before the first import of ours, whose defaults name places in the home folder.
os.environ["HOME"] = os.path.realpath(tempfile.mkdtemp(prefix="home-"))

import numpy as np
import pytest
from absl import flags
from hypothesis import HealthCheck, settings
from PIL import Image

from tests.type_checks import check_signatures

check_signatures()

from tests.stand_ins import fake_versions

atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)
# `nohup` has it ignored, and programs that are started here would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Compilation makes the first example slow, and the machines that test us are shared.
settings.register_profile(
    "default", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("default")

# Fine-tuned networks that the tests of several rooms share.
pytest_plugins = ["tests.small_networks"]

REFERENCE = Path(__file__).parent / "reference"
SHARED = Path(__file__).parents[2] / "shared"


class Reference:
    """Numbers computed with the official code; see tests/reference/README.md."""

    def __call__(self, name: str) -> dict[str, np.ndarray]:
        with np.load(REFERENCE / f"{name}.npz") as arrays:
            return dict(arrays)

    def path(self, name: str) -> Path:
        return REFERENCE / name

    @property
    def make_state_dict(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location(
            "make_state_dict", REFERENCE / "make_state_dict.py"
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest room first: last, one of its files would keep one process busy alone."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/tasks/"))


def pytest_collection_finish() -> None:
    """Keeps what has been imported out of the garbage collector's sight: tracing calls it often."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


@pytest.fixture(scope="session")
def home() -> Path:
    """An empty home directory, in which runs keep things for later ones."""
    return Path(os.environ["HOME"])


@pytest.fixture(scope="session")
def parity() -> Reference:
    return Reference()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real sample files, which their licences keep out of this repository."""
    if not (SHARED / "fixtures").is_dir():
        pytest.skip("real sample files are not beside this checkout (../shared/fixtures)")
    return SHARED


@pytest.fixture(scope="module")
def main() -> Iterator[ModuleType]:
    """The module main.py, whose flags go with it: other programs have flags of the same names."""
    spec = importlib.util.spec_from_file_location("main", Path(__file__).parents[1] / "main.py")
    module = importlib.util.module_from_spec(spec)
    before = set(flags.FLAGS)
    spec.loader.exec_module(module)
    yield module
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


class Exploit:
    """A pickle of it makes a file, wherever it is read without care."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def exploit(tmp_path) -> Iterator[Exploit]:
    """An object whose pickle must not be believed; that it was not is checked at the end."""
    exploit = Exploit(tmp_path / "touched")
    yield exploit
    assert not exploit.path.exists()


@pytest.fixture
def started(monkeypatch) -> list:
    """Programs that were to be started while the test ran; none is."""
    started: list = []
    for name in ("check_call", "Popen"):
        monkeypatch.setattr(subprocess, name, lambda *args, **_: started.append(args))
    return started


@pytest.fixture(params=["photo.jpg", "frame.png", "Color_0001.bmp"])
def postscript(request, tmp_path) -> Path:
    """A file that Pillow hands to Ghostscript, whatever it is called."""
    path = tmp_path / request.param
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\n%%EOF\n")
    with Image.open(path) as image:
        assert image.format == "EPS"
    return path


@pytest.fixture
def cheap_rendering(monkeypatch):
    """Puts a renderer that costs nothing, not even compilation, in the place of ours."""
    monkeypatch.setattr(
        "peclr_jax.input_pipeline.from_rendered.make_render",
        lambda fields: functools.partial(fake_versions, count=fields.versions),
    )
