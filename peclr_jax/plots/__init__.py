"""Every picture we draw."""

from peclr_jax.plots.evaluation import equivariance_curve, equivariance_map, pck
from peclr_jax.plots.experiments import bars, curves
from peclr_jax.plots.figures import as_image, curve, image_grid, save, view_pairs
from peclr_jax.plots.hands import HandPanel, draw_skeleton, hand_panels, overlay, skeletons

__all__ = [
    "HandPanel",
    "as_image",
    "bars",
    "curve",
    "curves",
    "draw_skeleton",
    "equivariance_curve",
    "equivariance_map",
    "hand_panels",
    "image_grid",
    "overlay",
    "pck",
    "save",
    "skeletons",
    "view_pairs",
]
