"""3D hands in your own photos.

    python main.py --config=configs/predict.py --config.images='photos/*.jpg' \
        --workdir=runs/photos

The network is "released", the one in the package; `--config.checkpoint=runs/finetune` names
another.

Writes `predictions.json` (2D keypoints in the photos' pixels, 3D in metres), `overlays/` and
`index.html`, a page that shows the hands in 3D and needs no server and no network.

The network estimates the pose of a hand that it is shown; it does not detect hands. Without boxes
it looks at the middle of the photo, and then around the keypoints that it found there, which suits
photos of one hand. Otherwise give boxes, by hand or from a detector: `--config.boxes=boxes.json`,
in the format of peclr_jax/photos/boxes.py. docs/photos.md describes where the network looks.

Exit codes: 0; 4 if some images could not be read (they are listed, all others are done); 2 if none.

Fields: `PredictSpec` in peclr_jax/tasks/predict.py. Cost: part of the last minute of
the demo, on two CPU cores (docs/results/demo.md). Not run on a GPU.
"""

from ml_collections import ConfigDict

from configs.composition import compose
from peclr_jax import specs
from peclr_jax.tasks.predict import PredictSpec


def get_config(recipe: str = "photos") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: What follows the colon in `--config=configs/predict.py:RECIPE`; there is one.

    Raises:
      UserError: An unknown recipe.
    """
    return compose("configs/predict.py", recipe, {"photos": lambda: specs.to_config(PredictSpec())})
