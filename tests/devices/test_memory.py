from unittest import mock

import jax
import pytest

from peclr_jax.devices import memory


def device(**statistics):
    return mock.Mock(spec=jax.Device, memory_stats=lambda: statistics or None)


@pytest.mark.parametrize(
    ("statistics", "free"),
    [({}, None), ({"bytes_limit": 9}, 9), ({"bytes_limit": 9, "bytes_in_use": 2}, 7)],
)
def test_free_memory_is_told_where_the_device_tells(statistics, free):
    assert memory.free_device_memory(device(**statistics)) == free


def test_the_fullest_device_counts(monkeypatch):
    devices = [device(peak_bytes_in_use=2**30), device(peak_bytes_in_use=2**31), device()]
    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    used = memory.memory_in_use()
    assert used["device_memory_gib"] == 2
    assert 0.01 < used["host_memory_gib"] < 100
