"""3D hands in your own photos and films.

    python main.py --config=configs/predict.py --config.images='photos/*.jpg' \
        --workdir=runs/photos

The network is "released", the one in the package; `--config.checkpoint=runs/finetune` names
another.

Writes `predictions.json` (2D keypoints in the photos' pixels, 3D in metres, and the error to expect
of each joint), `overlays/` and `index.html`, a page that shows the hands in 3D and needs no server
and no network. `--config.formats=json,csv,npz,coco` writes other formats, too.

A film (`--config.images=film.mp4`) gives the same numbers frame by frame and `overlay.mp4`, the
film with the hands drawn on it; `--config.smooth=True` smooths them.

The network estimates the pose of a hand that it is shown; it does not detect hands. Without boxes
hands are searched in windows of the photo, and kept by the expected error that the network tells
(`--config.hands=2` for up to two); so is told whether a hand is a right or a left one. Otherwise
give boxes, by hand or from a detector: `--config.boxes=boxes.json`, in the format of
peclr_jax/photos/boxes.py, COCO's, or a folder of YOLO's text files. Networks without heatmaps tell
no error: they look at the middle of the photo and know right hands alone. docs/photos.md describes
all of it.

Exit codes: 0; 4 if some images could not be read, or some boxes lie outside of theirs (they are
listed, all others are done), or a film is damaged (the frames before are done); 2 if no image could
be read.

Fields: `PredictSpec` in peclr_jax/prediction/spec.py. Cost: part of the last minute of
the demo, on two CPU cores (docs/results/demo.md). Not run on a GPU.
"""

from ml_collections import ConfigDict

from configs.composition import compose
from peclr_jax import specs
from peclr_jax.prediction.spec import PredictSpec


def get_config(recipe: str = "photos") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: What follows the colon in `--config=configs/predict.py:RECIPE`; there is one.

    Raises:
      UserError: An unknown recipe.
    """
    return compose("configs/predict.py", recipe, {"photos": lambda: specs.to_config(PredictSpec())})
