"""A picture of a data set: hands from all over a split, with their labels drawn.

    python main.py --config=configs/show.py --config.data.names=freihand
    python main.py --config=configs/show.py --config.data.names=ho3d/v2 \
        --config.data.manual_dir=HO3D_v2 --config.split=evaluation --workdir=runs/show_ho3d
    python main.py --config=configs/show.py:figure4 --config.data.source=rendered

`figure4` is the paper's Figure 4: what each of the nine transformations makes of four hands, in
transformations.png. Else hands.png is written to the workdir: crops as training sees them, left
hands mirrored, with the skeletons of the labelled joints and the boxes; the numbers above are the
rows of the split. Prints how many hands have which label. Raw files are read, and records written,
on first use.

Fields: `ShowSpec` in peclr_jax/tasks/show.py. Cost: seconds, once the records are written.
"""

from ml_collections import ConfigDict

from configs.composition import compose
from peclr_jax import specs
from peclr_jax.tasks.show import ShowSpec


def get_config(recipe: str = "default") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: What follows the colon in `--config=configs/show.py:RECIPE`: "default" or "figure4".

    Raises:
      UserError: An unknown recipe.
    """
    bases = {
        "default": lambda: specs.to_config(ShowSpec()),
        "figure4": lambda: specs.to_config(ShowSpec(show="transformations", count=4)),
    }
    return compose("configs/show.py", recipe, bases)
