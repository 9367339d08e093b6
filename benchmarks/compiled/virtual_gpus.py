"""H100s to compile for on machines without one: programs, not times.

    pip install "jax[cuda13]"

XLA compiles for a description of the hardware as for the hardware itself, except for the choice of
cuDNN's fastest algorithms, which it would try out. `ENVIRONMENT` must be set before JAX is
imported.
"""

import importlib.util

import jax
from jax.experimental import topologies

# JAX loads the plugin only if cuda is first; without the check the plugin needs no driver.
ENVIRONMENT = {"JAX_PLATFORMS": "cuda,cpu", "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1"}

# Scalar and matrix units of a core by XLA's number of a type: GHz, units, operations a cycle.
_SCALAR = {10: (1.98, 128, 2), 11: (1.98, 128, 2), 12: (1.98, 64, 2), 16: (1.98, 128, 2)}
_MATRIX = {10: (1.83, 4, 512), 11: (1.83, 4, 256), 12: (1.98, 4, 32), 16: (1.83, 4, 512)}


def _rates(units: dict[int, tuple[float, int, int]]) -> str:
    return " ".join(
        f"rate_infos {{ key: {kind} value {{ clock_rate_ghz: {clock} "
        f"units_per_core: {count} ops_per_clock: {operations} }} }}"
        for kind, (clock, count, operations) in units.items()
    )


# NVIDIA's data sheet of the H100 SXM, in the words of XLA's `GpuTargetConfigProto`.
_H100 = f"""
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info {{ major: 9 minor: 10 }}
runtime_version {{ major: 13 minor: 0 }}
gpu_device_info {{
  cuda_compute_capability {{ major: 9 feature_extension: ACCELERATED_FEATURES }}
  name: "NVIDIA H100 80GB HBM3"
  device_vendor: "NVIDIA Corporation"
  core_count: 132
  clock_rate_ghz: 1.98
  fpus_per_core: 128
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  thread_dim_limit_x: 1024
  thread_dim_limit_y: 1024
  thread_dim_limit_z: 64
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  l2_cache_size: 52428800
  memory_bandwidth: 3350000000000
  device_memory_size: 85000000000
  device_interconnect_info {{ active_links: 18 }}
  scalar_unit_description {{ {_rates(_SCALAR)} }}
  matrix_unit_description {{ {_rates(_MATRIX)} }}
  driver_version: "13.0.0"
  runtime_version: "13.0.0"
  compile_time_toolkit_version: "13.0.0"
  dnn_version: "9.10.0"
}}
"""


def are_here() -> bool:
    """Whether JAX can compile for CUDA."""
    return importlib.util.find_spec("jax_cuda13_plugin") is not None


def h100s(count: int) -> list[jax.Device]:
    """Returns `count` H100s of one machine, to make a mesh of."""
    description = topologies.get_topology_desc(
        platform="cuda", target_config=_H100, topology=f"1x1x{count}"
    )
    return list(description.devices)
