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


def test_limits_of_all_groups_are_found(tmp_path):
    for place, (limit, used, files) in {"": ("max", 90, 10), "job": (100, 80, 30)}.items():
        group = tmp_path / place
        group.mkdir(exist_ok=True)
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.current").write_text(f"{used}\n")
        (group / "memory.stat").write_text(f"anon 9\nactive_file 0\ninactive_file {files}\n")
    (tmp_path / "job/step").mkdir()
    assert list(memory._left_of_limits("job/step", tmp_path)) == [50]
    assert list(memory._left_of_limits("", tmp_path)) == []
    assert memory.free_host_memory() > 0
