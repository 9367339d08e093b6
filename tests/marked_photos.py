"""Photos with two coloured marks for a hand, and a network that finds them."""

from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from peclr_jax.networks.calibration import Calibration
from peclr_jax.networks.estimator import Estimate, Estimator
from peclr_jax.networks.label_statistics import LabelStatistics

SIZE = 64
DEPTH = 12.0
BONE = 0.03
WRIST, TIP = np.array([250.0, 310.0]), np.array([380.0, 230.0])
SPREAD = np.linspace(0, 1, 21)[:, None]
TRUTH = WRIST + SPREAD * (TIP - WRIST)


@dataclass(frozen=True)
class MarkFinder(Estimator):
    """Sees a wrist where it is red and the last joint where it is blue, and remembers the crops.

    If it tells an error, this is 2 px of the view where the hand is seen and points to the right;
    20 otherwise, as if it was a left one, which networks are less sure of.
    """

    seen: list = field(default_factory=list)
    unsure: bool = False

    @property
    def tells_error(self):
        return self.unsure

    def __call__(self, images, matrix, intrinsics):
        np.testing.assert_array_equal(matrix, np.broadcast_to(np.eye(2, 3), matrix.shape))
        self.seen.append(np.asarray(images))
        ends, totals = zip(*(self._centre(images, channel) for channel in (0, 2)), strict=True)
        pixels = ends[0][:, None] + SPREAD * (ends[1] - ends[0])[:, None]
        relative = np.broadcast_to(np.linspace(0, 2, 21)[:, None], (len(images), 21, 1))
        pose = np.concatenate([pixels, relative], -1)
        estimate = Estimate(jnp.asarray(pose, jnp.float32), jnp.full(len(images), DEPTH))
        if not self.unsure:
            return estimate
        ahead = ((ends[1] - ends[0])[:, 0] > 1) & (np.minimum(*totals) > 1)
        error = np.repeat(np.where(ahead, 2.0, 20.0)[:, None], 21, 1)
        return estimate._replace(expected_error=jnp.asarray(error, jnp.float32))

    def _centre(self, images, channel):
        other = np.asarray(images, np.float64)
        weight = np.maximum(other[..., channel] - other[..., 2 - channel] - 40, 0)
        y, x = np.mgrid[:SIZE, :SIZE]
        total = weight.sum((1, 2)) + 1e-9
        centre = np.stack([(weight * x).sum((1, 2)), (weight * y).sum((1, 2))], -1)
        return centre / total[:, None], total


def mark_finder(*, unsure=False):
    """A network of views of `SIZE` px, trained on hands of one size, calibrated if it is unsure."""
    return MarkFinder(
        None,
        {},
        SIZE,
        1.5,
        statistics=LabelStatistics(bone_length=BONE),
        calibration=Calibration(joints=2100 * unsure),
        unsure=unsure,
    )


def marked(width=640, height=480, wrist=WRIST, tip=TIP, zoom=1):
    """A grey photo with a red mark and a blue one."""
    image = Image.new("RGB", (width * zoom, height * zoom), (60, 60, 60))
    draw = ImageDraw.Draw(image)
    for (x, y), color in ((wrist, (250, 60, 60)), (tip, (60, 60, 250))):
        centre = ((x + 0.5) * zoom - 0.5, (y + 0.5) * zoom - 0.5)
        draw.circle(centre, 9 * zoom, fill=color)
    return image
