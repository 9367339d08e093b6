"""A look at a data set: hands from all over a split, with their labels drawn.

    python main.py --config=configs/show.py --config.data.names=freihand
    python main.py --config=configs/show.py --config.data.names=ho3d/v2 \
        --config.data.manual_dir=HO3D_v2 --config.split=evaluation --workdir=runs/show_ho3d

Writes hands.png to the workdir: crops as training sees them, left hands mirrored, with the
skeletons of the labelled joints and the boxes; the numbers above are the rows of the split. Prints
how many of them have which label. Raw files are read, and records written, on first use.
"""

from ml_collections import ConfigDict

from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.spec import DataSpec


def get_config(recipe: str = "default") -> ConfigDict:
    """The configuration of the one recipe there is.

    Args:
      recipe: what follows the colon in `--config=configs/show.py:RECIPE`.

    Raises:
      UserError: an unknown recipe.
    """
    if recipe != "default":
        raise UserError(f"configs/show.py has no recipe {recipe!r}; leave it out")
    config = ConfigDict()
    config.task = "show"
    config.recipe = recipe
    # Every field is explained in peclr_jax/input_pipeline/spec.py.
    config.data = specs.to_config(DataSpec())
    config.data.source = "tfds"  # "rendered": our rendered hands, whose splits are train, held_out
    config.data.source_size = 192  # px
    config.split = "train"
    config.count = 24  # hands
    config.columns = 6
    return config
