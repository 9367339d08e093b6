"""A hand in 3D that the reader turns by dragging."""

import html
import json

import numpy as np
from jaxtyping import Float

from peclr_jax.errors import UserError


def skeleton_widget(keypoints_3d: Float[np.ndarray, "21 3"], label: str = "3D hand") -> str:
    """Returns the HTML of one hand; `page` and `Page` add the script that draws it.

    Args:
      keypoints_3d: Metres, x right, y down, z forward. Where the hand is does not matter: it is
        shown around its centre, first as the camera saw it.
      label: For those who cannot see it; plain text.

    Raises:
      UserError: A coordinate is not a number.
    """
    if not np.isfinite(keypoints_3d).all():
        raise UserError("the hand's coordinates must be finite to be drawn")
    center = (keypoints_3d.min(0) + keypoints_3d.max(0)) / 2
    millimetres = np.round(1000 * (keypoints_3d - center), 1).tolist()
    joints = json.dumps(millimetres, separators=(",", ":"))
    return (
        f'<canvas class="skeleton" tabindex="0" role="img" aria-label="{html.escape(label)}; '
        f'drag or use the arrow keys to turn it" data-joints="{joints}"></canvas>'
    )
