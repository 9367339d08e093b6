"""Composition of recipes: BASE+VARIANT+..."""

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

from ml_collections import ConfigDict

from peclr_jax.errors import UserError


def compose(
    file: str,
    recipe: str,
    bases: Mapping[str, Callable[[], ConfigDict]],
    variants: Mapping[str, Callable[[ConfigDict], None]] = MappingProxyType({}),
    alternatives: Iterable[Collection[str]] = (),
) -> ConfigDict:
    """Returns the base of a recipe, changed by its variants.

    They are applied in the order of `variants`, whatever the order they are named in.

    Args:
      file: File of the recipe, for the message.
      recipe: BASE, or BASE+VARIANT+...
      bases: Makes each base.
      variants: Changes a config, for each variant.
      alternatives: Sets of variants of which a recipe may have one, because another would undo it.

    Raises:
      UserError: An unknown base or variant, or two alternatives.
    """
    base, *changes = recipe.split("+")
    if base not in bases:
        raise UserError(f"{file} has no recipe {base!r}; it has {list(bases)}")
    config = bases[base]()
    for change in changes:
        if change not in variants:
            raise UserError(f"{file} has no variant {change!r}; it has {list(variants)}")
    for those in alternatives:
        if len(named := [name for name in variants if name in changes and name in those]) > 1:
            raise UserError(f"{file}: {' and '.join(map(repr, named))} are alternatives: name one")
    for name, apply in variants.items():
        if name in changes:
            apply(config)
    if "recipe" in config:  # of tasks that tell it
        config.recipe = recipe
    return config
