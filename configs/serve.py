"""A page to try a network on photos, in this machine's own browser.

    python main.py --config=configs/serve.py

Drop photos on the page or use the camera: it shows the skeleton on the photo and each hand in 3D,
and saves the numbers as JSON, in the format of `predictions.json` of configs/predict.py. Only this
machine can reach the page; photos are not stored, and nothing is sent elsewhere (docs/serve.md).

Exit codes: 0 after Ctrl-C; 2 if the port is in use.

Fields: `ServeSpec` in peclr_jax/tasks/serve.py. Cost: the start takes as long as that of
configs/predict.py; a photo then takes as long as there. Not run on a GPU.
"""

from ml_collections import ConfigDict

from configs.composition import compose
from peclr_jax import specs
from peclr_jax.tasks.serve import ServeSpec


def get_config(recipe: str = "page") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: What follows the colon in `--config=configs/serve.py:RECIPE`; there is one.

    Raises:
      UserError: An unknown recipe.
    """
    return compose("configs/serve.py", recipe, {"page": lambda: specs.to_config(ServeSpec())})
