"""All steps in one run: rendered hands, pre-training, fine-tuning, evaluation, photos.

    make demo
    python main.py --config=configs/demo.py --config.photos=my_photos --workdir=runs/demo

Its parts are the recipes of the other files, with changes that fit two CPU cores and a quarter of
an hour. Each part has its flags: `--config.finetune.num_epochs=80`. The run ends with one page,
report.html, of every picture and number. If it is interrupted, the same command resumes it. Without
photos, rendered hands are predicted.

Cost and result: 11 minutes on two CPU cores. 2D EPE 4.33 px of 48 (mean pose 10.51) and PA-EPE 1.69
cm (mean pose 3.50, mean hand 1.78) on 512 rendered test hands. docs/results/demo.md has the rest.
Not run on a GPU.

Fields: `DemoSpec` in peclr_jax/tasks/demo.py.
"""

from ml_collections import ConfigDict

from configs import finetune, pretrain
from configs.composition import compose
from peclr_jax import specs
from peclr_jax.tasks.demo import DemoSpec


def _quick() -> ConfigDict:
    config = specs.to_config(DemoSpec())
    config.pretrain = pretrain.get_config("quick+best")  # learns more in few steps
    config.pretrain.num_epochs = 12.0
    config.finetune = finetune.get_config()
    # Narrower ranges than the paper's (Sec. 8): steps are few, and the hands fill their boxes.
    config.finetune.views.update(scale=(0.8, 1.25), translation=(-0.08, 0.08))
    config.probe = finetune.get_config("quick+probe")

    # On the hands of the pre-training, with labels; the root's depth is not what is probed.
    config.probe.num_epochs = 5.0
    config.probe.data.rendered.background = "green"
    config.probe.optimizer.learning_rate = 1e-3
    config.probe.loss.root_depth = 0.0

    for part in (config.pretrain, config.finetune, config.probe):
        # All parts take the same hands, which are rendered once, and the same ones for testing.
        part.data.labels = True
        part.data.rendered.held_out = 512
    for part in (config.finetune, config.probe):
        part.init.checkpoint = ""  # the demo's own pre-training
        part.evaluation.images = 512
        part.evaluation.every_steps = 500
    return config


def get_config(recipe: str = "quick") -> ConfigDict:
    """Returns the config of the only recipe.

    Args:
      recipe: What follows the colon in `--config=configs/demo.py:RECIPE`.

    Raises:
      UserError: An unknown recipe.
    """
    return compose("configs/demo.py", recipe, {"quick": _quick})
