"""Composition of recipes: BASE+VARIANT+..."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ml_collections import ConfigDict

from peclr_jax.errors import UserError


def compose(
    file: str,
    recipe: str,
    bases: Mapping[str, Callable[[], ConfigDict]],
    variants: Mapping[str, Callable[[ConfigDict], None]] = MappingProxyType({}),
) -> ConfigDict:
    """Returns the base of a recipe, changed by its variants in turn.

    Args:
      file: File of the recipe, for the message.
      recipe: BASE, or BASE+VARIANT+...
      bases: Makes each base.
      variants: Changes a config, for each variant.

    Raises:
      UserError: An unknown base or variant.
    """
    base, *changes = recipe.split("+")
    if base not in bases:
        raise UserError(f"{file} has no recipe {base!r}; it has {list(bases)}")
    config = bases[base]()
    for change in changes:
        if change not in variants:
            raise UserError(f"{file} has no variant {change!r}; it has {list(variants)}")
        variants[change](config)
    config.recipe = recipe
    return config
