"""Speed of the hand renderer: `python -m benchmarks.render [--output render.json]`."""

import argparse
import json
import statistics
import time
from pathlib import Path

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from peclr_jax.synthetic.render import BACKGROUNDS, RenderSpec, render_indices


def measure(spec: RenderSpec, count: int, repeats: int) -> dict[str, float | int | str]:
    """Compiles and renders once, then takes the median of several renderings of new images."""
    key = jax.random.key(0)
    start = time.perf_counter()
    program = render_indices.lower(key, jnp.arange(count), spec).compile()
    compile_seconds = time.perf_counter() - start
    seconds = []
    for repeat in range(repeats + 1):  # the first one warms up
        indices = jax.block_until_ready(jnp.arange(count) + repeat * count)
        start = time.perf_counter()
        jax.block_until_ready(program(key, indices))
        seconds.append(time.perf_counter() - start)
    return {
        "size": spec.size,
        "background": spec.background,
        "batch": count,
        "device": jax.devices()[0].device_kind,
        "images_per_second": count / statistics.median(seconds[1:]),
        "compile_seconds": compile_seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128], help="pixels")
    parser.add_argument("--background", default="shared", choices=BACKGROUNDS)
    parser.add_argument("--batch", type=int, default=64, help="images a call")
    parser.add_argument("--repeats", type=int, default=5, help="calls; the median counts")
    parser.add_argument("--rays-per-block", type=int, default=RenderSpec.rays_per_block)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    args = parser.parse_args()

    table = Table("size (px)", "images/s", "compile (s)", title="Synthetic hands")
    results = []
    for size in args.sizes:
        spec = RenderSpec(size=size, background=args.background, rays_per_block=args.rays_per_block)
        result = measure(spec, args.batch, args.repeats)
        results.append(result)
        table.add_row(
            str(size),
            f"{result['images_per_second']:.1f}",
            f"{result['compile_seconds']:.1f}",
        )
    Console().print(table)
    if args.output:
        args.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
