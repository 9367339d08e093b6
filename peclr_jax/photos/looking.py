"""Where to look for a hand in an image: one rule for evaluation and for prediction.

A look is a square region of the image that the network is shown as a view. Everything is in pixels
of the image, the origin at the centre of its top-left pixel.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from peclr_jax.geometry import crop
from peclr_jax.geometry.crop import Square
from peclr_jax.photos.boxes import Box


@dataclasses.dataclass(frozen=True)
class LookingRule:
    """Where a network looks first, and where it looks next.

    Training shows hands at 0.7 to 1.3 of their usual size; what seems further off than `closest`
    and `widest` is more likely to be mistaken.

    Attributes:
      hand_margin: Side of a look over the larger side of the hand's box.
      central_box: Side of the box supposed where none is given, over the image's shorter side.
      closest, widest: Smallest and largest side of a look over the side of the one before.
      turns_deg: Rotations of the view, degrees, that each look is made at; of several answers the
        mean is taken, weighted by how sharply each localises the joints.
    """

    hand_margin: float = 1.5
    central_box: float = 0.67
    closest: float = 0.5
    widest: float = 1.5
    turns_deg: tuple[float, ...] = (0.0,)

    @property
    def central_share(self) -> float:
        """Side of the first look over the image's shorter side, where no box is given."""
        return self.central_box * self.hand_margin

    @property
    def detail(self) -> float:
        """Pixels per pixel of the first view, along a side, that the closest later look needs."""
        return 1 / self.closest if self.closest > 0 else 1.0

    def first(self, box: Box | None, width: int, height: int) -> Square:
        """Returns where to look first: around the box, or in the middle of the image.

        Args:
          box: Of the hand; None if it is unknown.
          width: Of the image.
          height: Of the image.
        """
        if box is None:
            return crop.central(width, height, self.central_share)
        return crop.around(np.array(box), self.hand_margin)

    def following(self, last: Square, keypoints: Float[np.ndarray, "21 2"]) -> Square:
        """Returns where to look next: around the keypoints, or `last` if they make no sense."""
        if not np.isfinite(keypoints).all():
            return last
        closer = crop.around(
            crop.bounding_box(keypoints.astype(np.float64)),
            self.hand_margin,
            least=max(self.closest * last.side, self.hand_margin),
            most=self.widest * last.side,
        )
        left, top, right, bottom = last.edges
        inside = left <= closer.x <= right and top <= closer.y <= bottom
        return closer if inside else last
