"""One grammar for docstrings and one style for error messages.

`python tests/test_words.py [FILE_OR_FOLDER ...]` lists what is wrong and where.
"""

import ast
import functools
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("peclr_jax", "data", "configs", "main.py")
NAMED = ("Args", "Attributes", "Raises")
SECTION = re.compile(rf"^({'|'.join(NAMED)}|Returns|Yields):\n((?: .*\n|\n)*)", re.MULTILINE)
# Names that a message may begin with; those with another capital, a digit or a sign need no entry.
PROPER = {"Adam", "Dexter", "Flax", "Linux", "Matplotlib", "Optax", "Orbax", "Pillow", "Python"}


@functools.cache
def rooms() -> dict[str, list[Path]]:
    """Returns the linted files by room: a folder, or "main.py"."""
    found: dict[str, list[Path]] = {}
    for place in PLACES:
        for path in sorted((ROOT / place).rglob("*.py")) or [ROOT / place]:
            room = path.relative_to(ROOT).parent.as_posix()
            found.setdefault("main.py" if room == "." else room, []).append(path)
    return found


def docstring_problems(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields (line, problem) of every docstring in a module."""
    for node, public in ((tree, False), *_definitions(tree, public=True)):
        text = ast.get_docstring(node) or ""
        if text and not text.splitlines()[0].endswith("."):
            yield node.body[0].lineno, "the summary does not end with a full stop"
        for section, body in SECTION.findall(f"{text}\n"):
            yield from (
                (node.body[0].lineno, f"{section}: {p}") for p in _of_section(section, body)
            )
        if public and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from ((node.lineno, problem) for problem in _of_arguments(node, text))


def _definitions(node: ast.AST, public: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            is_public = public and not child.name.startswith("_")
            yield child, is_public
            yield from _definitions(child, is_public and isinstance(child, ast.ClassDef))
        else:
            yield from _definitions(child, public)


def _entries(body: str) -> list[tuple[str, str]]:
    """Returns (label, words) of each entry of a section whose entries are named."""
    entries = (" ".join(entry.split()).partition(": ") for entry in re.split(r"\n(?=  \S)", body))
    return [(label, words) for label, _, words in entries]


def _of_section(section: str, body: str) -> Iterator[str]:
    if not re.match(r"  \S", body):
        yield "entries are indented by two spaces"
        return
    for label, words in _entries(body) if section in NAMED else [("", " ".join(body.split()))]:
        if not re.match(r"[A-Z0-9\"'`(\[{]", words):
            yield f"{label}: begins without a capital: {words[:40]!r}"
        if not re.search(r"\.[)\"'`]?$", words):
            yield f"{label}: ends without a full stop: {words[-40:]!r}"


def _of_arguments(node: ast.FunctionDef | ast.AsyncFunctionDef, text: str) -> Iterator[str]:
    if any(re.search(r"overload|override|setter", ast.unparse(d)) for d in node.decorator_list):
        return
    given = node.args
    names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    names += [a.arg for a in (given.vararg, given.kwarg) if a]
    needed = [n for n in names if n not in ("self", "cls") and not n.startswith("_")]
    body = dict(SECTION.findall(f"{text}\n")).get("Args", "")
    if len(needed) > 2 and not body:
        yield f"{node.name}({', '.join(needed)}) has no Args section"
    for label, _ in _entries(body) if body else ():
        for name in set(re.split(r",\s*", label.replace("*", ""))) - set(names):
            yield f"Args: {name!r} is no parameter of {node.name}"


def error_names(trees: list[ast.Module]) -> set[str]:
    """Returns the names of UserError and of every class derived from it."""
    bases = {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    names = {"UserError"}
    while more := {name for name, of in bases.items() if of & names} - names:
        names |= more
    return names


@functools.cache
def _our_errors() -> set[str]:
    return error_names([_parse(path) for paths in rooms().values() for path in paths])


def message_problems(tree: ast.Module, errors: set[str]) -> Iterator[tuple[int, str]]:
    """Yields (line, problem) of each message that is passed to one of our errors."""
    for node in ast.walk(tree):
        name = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else None
        if name not in errors:
            continue
        for message in node.args[1:] if name == "FieldError" else node.args:
            first, last = _ends(message)
            word = first.split(" ")[0]
            named = re.search(r"[A-Z0-9_.=+\-/]", word[1:]) or word.rstrip("':,") in PROPER
            if word[:1].isupper() and not named:
                yield message.lineno, f"a message begins with a capital: {first[:40]!r}"
            if re.search(r"(?<!\.)\.$", last):
                yield message.lineno, f"a message ends with a full stop: {last[-40:]!r}"


def _ends(message: ast.expr) -> tuple[str, str]:
    """Returns the constant text that a message begins and ends with, "" where it is computed."""
    if isinstance(message, ast.BinOp) and isinstance(message.op, ast.Add):
        return _ends(message.left)[0], _ends(message.right)[1]
    if isinstance(message, ast.IfExp):
        return _ends(message.body)
    parts = message.values if isinstance(message, ast.JoinedStr) else [message]
    texts = [p.value if isinstance(p, ast.Constant) else "" for p in (parts[0], parts[-1])]
    first, last = (text if isinstance(text, str) else "" for text in texts)
    return first, last


def problems(paths: list[Path]) -> list[str]:
    """Returns `file:line: problem` of everything in some files that breaks the grammar."""
    found = []
    for path in paths:
        tree = _parse(path)
        lines = [*docstring_problems(tree), *message_problems(tree, _our_errors())]
        name = path.relative_to(ROOT).as_posix()
        found += [f"{name}:{line}: {problem}" for line, problem in sorted(lines)]
    return found


@functools.cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("room", rooms())
def test_words(room):
    assert not problems(rooms()[room])


@pytest.mark.parametrize(
    ("docstring", "problem"),
    [
        ("No full stop\n\nArgs:\n  x: A.", "summary"),
        ("A.\n\nArgs:\n  x: lower case.", "without a capital"),
        ("A.\n\nArgs:\n  x: Upper case", "without a full stop"),
        ("A.\n\nArgs:\n  x: Goes on\n    here", "without a full stop"),
        ("A.\n\nArgs:\n    x: Four spaces.", "two spaces"),
        ("A.\n\nArgs:\n  y: Another.", "no parameter"),
        ("A.\n\nArgs:\n  x: A.\n\nReturns:\n  the thing.", "without a capital"),
        ("A.\n\nArgs:\n  x: A.\n\nReturns:\n  The thing", "without a full stop"),
    ],
)
def test_docstring_problems_are_found(docstring, problem):
    (found,) = docstring_problems(ast.parse(f"def f(x):\n  '''{docstring}'''"))
    assert problem in found[1]


def test_three_parameters_need_a_section():
    problems = [
        list(docstring_problems(ast.parse(f"def f({p}): 'A.'"))) for p in ("x, y", "x, y, z")
    ]
    assert problems == [[], [(1, "f(x, y, z) has no Args section")]]


def test_a_good_docstring_has_no_problem():
    text = '"""A.\n\nArgs:\n  x: One: two.\n    Three (a.)\n  *y: `b`.\n\nReturns:\n  (a, b).\n"""'
    assert not list(docstring_problems(ast.parse(f"def f(self, x, *y):\n  {text!r}")))


@pytest.mark.parametrize(
    ("call", "count"),
    [
        ("UserError('a message')", 0),
        ("UserError('A message')", 1),
        ("errors.Kin(f'{a} is b.')", 1),
        ("UserError('FreiHAND has it')", 0),
        ("FieldError('Width', 'is wrong' + f' {a}.')", 1),
        ("KeyError('A message.')", 0),
    ],
)
def test_message_problems_are_found(call, count):
    errors = error_names([ast.parse("class Kin(UserError): pass\nclass FieldError(Kin): pass")])
    assert len(list(message_problems(ast.parse(f"raise {call}"), errors))) == count


if __name__ == "__main__":
    chosen = [Path(name).resolve() for name in sys.argv[1:]] or [ROOT / p for p in PLACES]
    files = [p for files in rooms().values() for p in files]
    wrong = problems([f for f in files if any(c in (f, *f.parents) for c in chosen)])
    print("\n".join(wrong))
    counts = Counter(f.partition(":")[0].rpartition("/")[0] or "main.py" for f in wrong)
    print("\n".join(f"{count:5} {where}" for where, count in sorted(counts.items())))
    sys.exit(bool(wrong))
