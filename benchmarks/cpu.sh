#!/bin/sh
# Every benchmark of the CPU: prints tables, writes benchmarks/results/cpu.json and cpu.md.
cd "$(dirname "$0")/.." || exit 1
python=.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" -m benchmarks.cpu.suite "$@"
