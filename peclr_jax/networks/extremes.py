"""The best and the worst hands of an evaluation, found in one pass."""

import functools

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from peclr_jax.hands import scores
from peclr_jax.input_pipeline import Batch
from peclr_jax.networks.hand_errors import HandErrors
from peclr_jax.networks.looking import Inference
from peclr_jax.pages.hand_panels import HandPanel

_Ranked = tuple[tuple[bool, float], HandPanel]


class Extremes:
    """Keeps the best and worst hands: by PA-EPE, then those without one by the view's 2D error."""

    def __init__(self, count: int, view_size: int):
        self._count, self._view_size = count, view_size
        self._kept: dict[str, list[_Ranked]] = {"best": [], "worst": []}

    def panels(self, name: str) -> list[HandPanel]:
        """Returns the "best" hands, best first, or the "worst", worst first."""
        return [panel for _, panel in self._kept[name]]

    def add(self, batch: Batch, inference: Inference, measured: HandErrors) -> None:
        """Keeps those hands of a batch that belong to the extremes so far.

        Args:
          batch: With labels.
          inference: What the network says of it.
          measured: Its errors.
        """
        in_space = _per_hand(measured, "pa")
        flat = np.isnan(in_space)
        errors = np.where(flat, _per_hand(measured, "2d") * measured.to_view, in_space)
        rows = np.flatnonzero(~np.isnan(errors)).tolist()

        @functools.cache
        def panel(row: int) -> HandPanel:
            return _panel(batch, inference, measured, row, self._view_size)

        for name, sign in (("best", 1), ("worst", -1)):
            ranked = [((bool(flat[row]), sign * float(errors[row])), row) for row in rows]
            first = sorted([*self._kept[name], *ranked], key=lambda entry: entry[0])[: self._count]
            self._kept[name] = [
                (rank, x if isinstance(x, HandPanel) else panel(x)) for rank, x in first
            ]


def _per_hand(measured: HandErrors, kind: str) -> Float[np.ndarray, " batch"]:
    """Returns the mean error of the prediction over the joints that count; NaN where none does."""
    errors = measured.errors["prediction", kind].astype(np.float64)
    valid = measured.valid["prediction", kind]
    count = valid.sum(1)
    return np.where(count > 0, errors.sum(1, where=valid) / np.maximum(count, 1), np.nan)


def _panel(
    batch: Batch, inference: Inference, measured: HandErrors, row: int, view_size: int
) -> HandPanel:
    valid_3d = measured.valid["prediction", "pa"][row]
    valid_2d = batch["keypoints_2d_valid"][row]
    target = batch["keypoints_3d"][row]
    joints = measured.joints[row]
    parts = [f"hand {batch['sample_id'][row]}, version {batch['version'][row]}:"]
    if valid_3d.any():
        joints = scores.KINDS["pa"].align(joints[None], target[None], valid_3d[None])[0]
        joints_3d = _fewer(valid_3d)
        parts.append(f"PA-EPE {100 * _per_hand(measured, 'pa')[row]:.2f} cm{joints_3d},")
    if valid_2d.any():
        pixels = _per_hand(measured, "2d")[row]
        parts.append(
            f"2D EPE {pixels:.1f} px ({pixels * measured.to_view[row]:.1f} px of the view)"
            f"{_fewer(valid_2d)}"
        )
    image, corner = _seen(batch["image"][row], np.asarray(inference.matrix)[row], view_size)
    return HandPanel(
        image=image,
        title=" ".join(parts).removesuffix(","),
        predicted_2d=np.asarray(inference.estimate.pose)[row, :, :2] - corner,
        target_2d=batch["keypoints_2d"][row] - corner if valid_2d.any() else None,
        target_2d_valid=valid_2d,
        predicted_3d=joints if valid_3d.any() else None,
        target_3d=target if valid_3d.any() else None,
        target_3d_valid=valid_3d,
    )


def _fewer(valid: Bool[np.ndarray, "21"]) -> str:
    """Returns how many joints an error is a mean over, if not over all."""
    return "" if valid.all() else f" of {valid.sum()} joints"


def _seen(
    image: UInt8[np.ndarray, "side side 3"], matrix: Float[np.ndarray, "2 3"], view_size: int
) -> tuple[UInt8[np.ndarray, "height width 3"], Int[np.ndarray, "2"]]:
    """Returns a copy of what the network was shown, and its first pixel (x, y) in the source."""
    corners = (np.array([[0.0, 0.0], [view_size - 1.0] * 2]) - matrix[:, 2]) / np.diag(matrix)
    side = len(image)
    first = np.clip(np.floor(corners[0]), 0, side - 1).astype(int)
    last = np.clip(np.ceil(corners[1]), first, side - 1).astype(int)
    return image[first[1] : last[1] + 1, first[0] : last[0] + 1].copy(), first
