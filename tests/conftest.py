"""Shared fixtures: eight virtual devices, reference numbers, real sample files."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

# Before the first import of jax: the sharding tests need more than one device.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
if "--xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    ).strip()

# The same small networks are compiled in many tests, and again in the next run of them.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache/compiled")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# Compilation makes the first example slow, and the machines that test us are shared.
settings.register_profile(
    "default", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("default")

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


@pytest.fixture(scope="session")
def parity() -> Reference:
    return Reference()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real sample files, which their licences keep out of this repository."""
    if not (SHARED / "fixtures").is_dir():
        pytest.skip("real sample files are not beside this checkout (../shared/fixtures)")
    return SHARED
