"""Types and shapes in the package's signatures are checked while the tests run."""

from pathlib import Path

from beartype import BeartypeConf
from beartype.claw import beartype_package
from jaxtyping import install_import_hook

ROOT = Path(__file__).parents[1]


def modules() -> dict[str, Path]:
    """Returns the package's files by the names of their modules."""
    names = {
        path: ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "peclr_jax").rglob("*.py"))
    }
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


def check_signatures() -> None:
    """Has what is imported of the package from now on check its arguments and results.

    Checking shapes costs a call much more than checking types alone, and reading a spec takes
    thousands of calls: only the modules that name shapes have them checked. So have those with
    named tuples, whose fields beartype's own hook would check, though TensorFlow makes them of its
    descriptions of tensors, and those with coroutines or functions of TensorFlow, which uvicorn and
    TensorFlow would not know behind it.
    """
    texts = {name: path.read_text("utf-8") for name, path in modules().items()}
    marks = "jaxtyping import", "NamedTuple", "async def", "tf.function"
    shaped = [name for name, text in texts.items() if any(mark in text for mark in marks)]
    install_import_hook(shaped, "beartype.beartype")
    beartype_package("peclr_jax", conf=BeartypeConf(claw_is_pep526=False))
