"""A trained network for PyTorch, TensorFlow, or whatever takes StableHLO.

    python main.py --config=configs/export.py --config.checkpoint=runs/rn50 \
        --config.format=torchvision

Takes a pre-training or a fine-tuning run. Writes a folder of the format's name to the workdir; in
it are the network, README.txt, which says how to open it, and check.json: the network was read
again, and gave our outputs on views of random pictures. The formats are compared in
docs/weights.md.

Fields: `ExportSpec` in peclr_jax/tasks/export.py. Cost: a minute at most, on a CPU.
"""

from ml_collections import ConfigDict

from configs.composition import compose
from peclr_jax import specs
from peclr_jax.tasks.export import ExportSpec


def get_config(recipe: str = "default") -> ConfigDict:
    """Returns the config of the only recipe.

    Args:
      recipe: What follows the colon in `--config=configs/export.py:RECIPE`.

    Raises:
      UserError: An unknown recipe.
    """
    bases = {"default": lambda: specs.to_config(ExportSpec())}
    return compose("configs/export.py", recipe, bases)
