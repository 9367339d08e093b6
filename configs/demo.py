"""Everything once, from nothing: rendered hands, pre-training, fine-tuning, evaluation, photos.

    make demo
    python main.py --config=configs/demo.py --config.photos=my_photos --workdir=runs/demo

Its parts are the recipes of the other files, here with the changes that two CPU cores and under
half an hour ask for; each takes flags of its own: `--config.finetune.num_epochs=80`. Ends with one
page, report.html, of every picture and number. Interrupted, it goes on where it stopped.

Expected on two cores: 19 minutes, 2D EPE 4.6 px of 48 and PA-EPE 1.7 cm on rendered test hands.
"""

from ml_collections import ConfigDict

from configs import equivariance, evaluate, finetune, predict, pretrain
from peclr_jax.errors import UserError


def get_config(recipe: str = "quick") -> ConfigDict:
    """The configuration of the one recipe there is.

    Args:
      recipe: what follows the colon in `--config=configs/demo.py:RECIPE`.

    Raises:
      UserError: an unknown recipe.
    """
    if recipe != "quick":
        raise UserError(f"configs/demo.py has no recipe {recipe!r}; leave it out")
    config = ConfigDict()
    config.task = "demo"
    config.recipe = recipe

    config.pretrain = pretrain.get_config()
    config.finetune = finetune.get_config()

    # Frozen encoders under a small head (Sec. 4.4), pre-trained beside random, one a seed; on the
    # hands of the pre-training, with labels.
    config.probe = finetune.get_config("quick+probe")
    config.probe.num_epochs = 7.0
    config.probe.data.rendered.background = "green"
    config.probe.optimizer.learning_rate = 1e-3
    config.probe.loss.root_depth = 0.0  # the root's depth is not what is probed
    config.probe_seeds = (0, 1, 2)

    config.evaluate = evaluate.get_config()
    config.evaluate.pictures = 4
    config.equivariance = equivariance.get_config()
    config.predict = predict.get_config()
    # A folder, file or glob of photos; where there are none, rendered hands stand in.
    config.photos = "../shared/fixtures/hands_unlabelled"
    config.photos_stand_in = 12

    for part in (config.pretrain, config.finetune, config.probe):
        # All parts take the same hands, which are rendered once, and the same ones for testing.
        part.data.labels = True
        part.data.rendered.held_out = 512
    for part in (config.finetune, config.probe):
        part.evaluation.images = 512
        part.evaluation.every_steps = 500
    return config
