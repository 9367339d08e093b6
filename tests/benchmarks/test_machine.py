"""Where and with what something was measured."""

import importlib.metadata

from benchmarks import machine


def test_environment_names_machine_and_versions():
    place = machine.environment(["numpy", "absl", "no_such_package"], device="cpu")
    assert place["versions"]["no_such_package"] is None
    assert place["versions"]["numpy"] == importlib.metadata.version("numpy")
    assert place["versions"]["absl"] == importlib.metadata.version("absl-py")
    assert place["cores"] >= 1
    assert place["device"] == "cpu"
    assert machine.same_machine(place, place | {"commit": "another"})
    # Processors of one name may differ in it, and so in speed.
    assert not machine.same_machine(place, place | {"vectors": "another"})
