"""Export of a trained network to PyTorch, TensorFlow or StableHLO.

    python main.py --config=configs/export.py --config.checkpoint=runs/rn50 \
        --config.format=torchvision

Takes a run of pre-training or of fine-tuning. Writes a folder named after the format to the
workdir, with the network, README.txt (how to open it) and check.json: the exported network is read
again and compared with ours on random pictures. docs/weights.md compares the formats.

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
