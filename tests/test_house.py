"""Who may import whom, and how large files and rooms may be.

`python tests/test_house.py` lists what breaks a rule.
"""

import ast
import collections
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A module imports from its own floor or from below.
FLOORS = {
    0: (
        "hands",
        "geometry",
        "views",
        "specs",
        "files",
        "errors",
        "console",
        "outputs",
        "places",
        "reading",
        "stopping",
        "terminal",
        "trees",
        "unpickling",
        "versions",
    ),
    1: ("models", "objectives", "synthetic", "devices", "photos", "labels", "weights"),
    2: ("training", "data"),
    3: ("input_pipeline", "networks", "pages"),
    4: ("runs", "experiments", "export", "prediction"),
    5: ("tasks", "loading", "commandline"),
    6: ("peclr_jax", "configs", "main"),  # peclr_jax: the names that it exports
    7: ("benchmarks",),
}
MOST_LINES = 300
MOST_FILES = 14
MOST_WITH_CONFIG = 13
# Modules without a test file of their own, and where they are tested.
MIRRORED_ELSEWHERE = {
    "peclr_jax.models.projector": "tests/models/test_torch_weights.py",
    "peclr_jax.pages.demo": "tests/tasks/test_demo.py",
    "peclr_jax.runs.finetune_evaluation": "tests/tasks/test_finetune.py",
    "peclr_jax.runs.fit": "tests/tasks/test_pretrain.py",
    "peclr_jax.runs.pretrain_evaluation": "tests/tasks/test_pretrain.py",
    "peclr_jax.synthetic.shading": "tests/synthetic/test_render.py",
    "peclr_jax.synthetic.skin": "tests/synthetic/test_render.py",
    "peclr_jax.synthetic.tracing": "tests/synthetic/test_render.py",
}


@functools.cache
def modules() -> dict[str, Path]:
    """Returns every module of ours by its dotted name."""
    found = {"main": ROOT / "main.py"}
    for top in ("peclr_jax", "data", "configs", "benchmarks"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def floor_of(module: str) -> int:
    top, *rest = module.split(".")
    room = rest[0] if top == "peclr_jax" and rest else top
    return next(floor for floor, rooms in FLOORS.items() if room in rooms)


def imports(node: ast.AST, importer: str, known: dict[str, Path]) -> Iterator[str]:
    """Yields the modules of ours that a program imports, those for type checkers left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from imports(other, importer, known)
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names if alias.name in known)
        elif isinstance(child, ast.ImportFrom):
            base = child.module or ""
            if child.level:
                is_package = known[importer].name == "__init__.py"
                parents = importer.split(".")[: None if is_package else -1]
                parents = parents[: len(parents) - child.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            for alias in child.names:
                if alias.name == "__version__":  # stands before whatever else is exported
                    continue
                name = f"{base}.{alias.name}"
                yield from (found for found in (name if name in known else base,) if found in known)
        else:
            yield from imports(child, importer, known)


@functools.cache
def graph() -> dict[str, frozenset[str]]:
    known = modules()
    return {
        name: frozenset(imports(parsed(path), name, known)) - {name} for name, path in known.items()
    }


def upward_imports() -> list[str]:
    """Returns the imports from a higher floor, and those of configs by the package."""
    return [
        f"{module} imports {other}"
        for module, imported in graph().items()
        for other in sorted(imported)
        if floor_of(other) > floor_of(module)
        or (module.startswith(("peclr_jax", "data")) and other.startswith("configs"))
    ]


def circles(edges: dict[str, frozenset[str]] | None = None) -> list[str]:
    """Returns the groups of modules that import each other."""
    edges = graph() if edges is None else edges

    @functools.cache
    def reached(start: str) -> frozenset[str]:
        found: set[str] = set()
        waiting = list(edges[start])
        while waiting:
            if (module := waiting.pop()) not in found:
                found.add(module)
                waiting += edges[module]
        return frozenset(found)

    groups = {
        tuple(sorted(b for b in reached(a) if a in reached(b))) for a in edges if a in reached(a)
    }
    return [" <-> ".join(group) for group in sorted(groups)]


def long_files() -> list[str]:
    counts = {path: len(path.read_text("utf-8").splitlines()) for path in modules().values()}
    return [f"{p.relative_to(ROOT)}: {n} lines" for p, n in counts.items() if n > MOST_LINES]


def full_rooms() -> list[str]:
    counts = collections.Counter(path.parent for path in modules().values())
    return [f"{p.relative_to(ROOT)}: {n} files" for p, n in counts.items() if n > MOST_FILES]


def files_with_config() -> list[str]:
    """Returns the package's files that name ConfigDict, if they are too many."""
    paths = sorted((ROOT / "peclr_jax").rglob("*.py"))
    found = [str(p.relative_to(ROOT)) for p in paths if "ConfigDict" in p.read_text("utf-8")]
    return found if len(found) > MOST_WITH_CONFIG else []


def mirror(module: str) -> str:
    """Returns the test file of a module."""
    top, *parts = module.split(".")
    if not parts:
        return f"tests/test_{top}.py"
    if top == "data":  # the readers of one data set are tested together
        return f"tests/data/test_{parts[0]}.py"
    if modules()[module].name == "__init__.py":
        return f"tests/{parts[0]}/test_{parts[0]}.py"
    return "/".join(["tests", *parts[:-1], f"test_{parts[-1]}.py"])


def without_mirror() -> list[str]:
    """Returns the modules with behaviour that no test file mirrors, and exceptions without use."""
    missing = []
    for module, path in modules().items():
        if module.partition(".")[0] not in ("peclr_jax", "data"):
            continue
        behaves = any(isinstance(n, ast.FunctionDef) for n in ast.walk(parsed(path)))
        mirrored = not behaves or (ROOT / mirror(module)).exists()
        if mirrored == (module in MIRRORED_ELSEWHERE):
            missing.append(f"{mirror(module)} {'is' if mirrored else 'is not'} there")
    missing += [f"{m} is no module" for m in MIRRORED_ELSEWHERE if m not in modules()]
    missing += [f"{p} is not there" for p in MIRRORED_ELSEWHERE.values() if not (ROOT / p).exists()]
    return sorted(set(missing))


RULES = (upward_imports, circles, long_files, full_rooms, files_with_config, without_mirror)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_house(rule):
    assert not rule()


def test_every_module_has_a_floor():
    assert len(modules()) > 150
    assert all(floor_of(module) in FLOORS for module in modules())


def test_imports_are_found():
    known = dict.fromkeys(("a", "a.b", "a.c", "a.d", "a.e"), Path("x.py"))
    program = (
        "import a.b\nfrom a import c, thing\ndef f():\n  from a.d import x\n"
        "if TYPE_CHECKING:\n  import a.e\n"
    )
    assert set(imports(ast.parse(program), "a.b", known)) == {"a.b", "a.c", "a", "a.d"}
    relative = ast.parse("from .c import x\nfrom . import d")
    assert set(imports(relative, "a.b", known)) == {"a.c", "a.d"}


def test_circles_are_found():
    edges = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    assert circles({k: frozenset(v) for k, v in edges.items()}) == ["b <-> c"]


if __name__ == "__main__":
    wrong = {rule.__name__: rule() for rule in RULES}
    for name, found in wrong.items():
        print("\n  ".join([f"{name}: {len(found)}", *found]))
    sys.exit(any(wrong.values()))
