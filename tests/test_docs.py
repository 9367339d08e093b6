"""What the documents name exists: links, files, modules, recipes and fields."""

import importlib
import pkgutil
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ml_collections import ConfigDict

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
PYTHON_FILE = re.compile(r"(?<![\w./*])((?:[\w-]+/)+[\w-]+\.py)\b")
MODULE = re.compile(
    r"(?:-m |`(?=peclr_jax))((?:peclr_jax|data|benchmarks)(?:\.[A-Za-z]\w*)+)[` \n]"
)
# "configs/pretrain.py:quick+best", or "figure7.py:cpu" of configs/experiments.
RECIPE = re.compile(r"(configs/[\w/]+\.py|(?:figure|table|best|real_)\w*\.py)(?::([a-z][\w+]*))?")
FIELD = re.compile(r"--config\.([\w.]*\w)=")
BESIDE, ABSOLUTE = re.compile(rb"\.\./" + rb"shared"), re.compile(rb"(?<![\w.*~}])/(?:work|home)/")


def published() -> list[Path]:
    """Returns the files that git knows."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout, so that the published files are unknown")
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def mentions(pattern: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    """Returns what a pattern finds in the documents, each with the page that it is on."""
    pages = [path for path in published() if path.suffix == ".md"]
    return [(page, match) for page in pages for match in pattern.finditer(page.read_text())]


def configs() -> Iterator[ConfigDict]:
    """Yields the config of every recipe that is named, as the command line loads it."""
    for file, recipe in {(match[1], match[2]) for _, match in mentions(RECIPE)}:
        if "/parts/" in file:  # of recipes, not recipes
            continue
        path = file if "/" in file else f"configs/experiments/{file}"
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        yield module.get_config(*[recipe] * bool(recipe))


def names(config: ConfigDict, prefix: str = "") -> Iterator[str]:
    for name, value in config.items():
        yield prefix + name
        if isinstance(value, ConfigDict):
            yield from names(value, f"{prefix}{name}.")


def test_links_lead_to_files():
    named = [(page, match[1]) for page, match in mentions(LINK) if ":" not in match[1]]
    assert not [f"{page}: {link}" for page, link in named if not (page.parent / link).exists()]


def test_files_and_modules_exist():
    named = [(page, match[1]) for page, match in mentions(PYTHON_FILE)]
    assert not [f"{page}: {file}" for page, file in named if not (ROOT / file).is_file()]
    for name in {match[1] for _, match in mentions(MODULE)}:
        if not (ROOT / f"{name.replace('.', '/')}.py").is_file():
            pkgutil.resolve_name(name)  # a package, or a name of a module


def test_recipes_and_fields_exist():
    fields = {field for config in configs() for field in names(config)}
    assert not [f"{page}: {match[0]}" for page, match in mentions(FIELD) if match[1] not in fields]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) <= 6000


def test_no_published_file_names_a_place_on_a_machine():
    for path in published():
        assert not ABSOLUTE.search(text := path.read_bytes()), path
        assert path.is_relative_to(ROOT / "tests") or not BESIDE.search(text), path
