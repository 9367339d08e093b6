"""A trained network for PyTorch, TensorFlow, or whatever takes StableHLO.

    python main.py --config=configs/export.py --config.checkpoint=runs/rn50 \
        --config.format=torchvision

Takes a pre-training or a fine-tuning run. Writes a folder of the format's name to the workdir; in
it are the network, README.txt, which says how to open it, and check.json: the network was read
again, and gave our outputs on views of random pictures. The formats are compared in
docs/weights.md.
"""

from ml_collections import ConfigDict

from peclr_jax.errors import UserError


def get_config(recipe: str = "default") -> ConfigDict:
    """The configuration of the one recipe there is.

    Args:
      recipe: what follows the colon in `--config=configs/export.py:RECIPE`.

    Raises:
      UserError: an unknown recipe.
    """
    if recipe != "default":
        raise UserError(f"configs/export.py has no recipe {recipe!r}; leave it out")
    config = ConfigDict()
    config.task = "export"
    config.recipe = recipe
    config.checkpoint = "runs/pretrain"  # a run's directory, or one step of it
    # "torchvision": the encoder, a .pth with torchvision's names.
    # "safetensors": the same as .safetensors, which also holds networks of another width or stem.
    # "official": the whole network under the names of the official PeCLR code, a .pth.
    # "saved_model": TensorFlow; features of a pre-trained network, poses of a fine-tuned one.
    # "stablehlo": the same by jax.export, and as plain StableHLO for ONNX and other converters.
    config.format = "torchvision"
    # Views at a time of the plain StableHLO, as most converters want a fixed number; 0: any.
    config.batch_size = 1
    return config
