"""One of several processes that compare facts: a run in small.

python tests/faults/alike.py PORT COUNT NUMBER FOLDER

Prints a line of JSON: what each comparison said, "" if all were alike.
"""

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from peclr_jax.devices import processes
from peclr_jax.errors import UserError
from peclr_jax.training.workdir import locked

# What processes 0 and 1 say they were started with.
FACTS = [
    ({"--config.seed": 0, "x": [1, "a"]}, {"x": [1, "a"], "--config.seed": 0}),
    ({"--config.seed": 0}, {"--config.seed": 1}),
    ({"--config.num_steps": 10, "the code": "ab"}, {"--config.num_steps": 11, "the code": "cd"}),
    ({"--config.task": "pretrain", "a": 1}, {"--config.task": "finetune", "b": None}),
    ({f"--config.x{n}": 0 for n in range(9)}, {f"--config.x{n}": 1 for n in range(9)}),
    ({"--config.photos": "é" * 999}, {"--config.photos": "é" * 998}),
    ({}, {}),
]


def main(port: str, count: int, number: int, workdir: Path) -> None:
    processes.start(processes.settings({}, f"127.0.0.1:{port}", count, number), 60.0)
    assert processes.gather("ab" * number) == ["ab" * n for n in range(count)]
    found = [told(nullcontext(), processes.check_alike, facts[number]) for facts in FACTS]
    for failing in range(count):
        found.append(told(processes.process_zero_first(), refuse, number == failing))
    # A workdir that is another one for each, one that cannot be, one that all see.
    for path in (workdir / str(number), workdir / "file", workdir / "shared"):
        found.append(told(locked(path)))
    print(json.dumps(found))
    processes.finish()


def refuse(refuses: bool) -> None:
    if refuses:
        raise UserError("this one is wrong: mend it")


def told(context: Any, check: Any = tuple, *arguments: Any) -> str:
    """Returns what a check in a context says is wrong, "" if nothing is."""
    try:
        with context:
            check(*arguments)
    except UserError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
