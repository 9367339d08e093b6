"""Types and shapes in the package's signatures are checked while the tests run."""

from pathlib import Path

from beartype import BeartypeConf
from beartype.claw import beartype_package
from jaxtyping import install_import_hook

ROOT = Path(__file__).parents[1]


def with_shapes() -> list[str]:
    """Returns the names of the modules whose signatures name shapes."""
    paths = sorted((ROOT / "peclr_jax").rglob("*.py"))
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in paths
        if "import jaxtyping" in (text := path.read_text("utf-8")) or "from jaxtyping" in text
    ]


def check_signatures() -> None:
    """Has what is imported of the package from now on check its arguments and results.

    Shapes cost a call much more than types: a spec that is read makes thousands, and has none.
    """
    install_import_hook(with_shapes(), "beartype.beartype")
    beartype_package("peclr_jax", conf=BeartypeConf(claw_is_pep526=False))
