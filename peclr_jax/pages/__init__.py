"""Every picture and page that we draw."""

from peclr_jax.pages.evaluation import equivariance_curve, equivariance_map, pck
from peclr_jax.pages.experiments import bars, curves
from peclr_jax.pages.figures import as_image, curve, image_grid, save, view_pairs
from peclr_jax.pages.hand_widget import skeleton_widget
from peclr_jax.pages.hands import HandPanel, draw_skeleton, hand_panels, skeletons
from peclr_jax.pages.html import Page, figure, image_tag, table

__all__ = [
    "HandPanel",
    "Page",
    "as_image",
    "bars",
    "curve",
    "curves",
    "draw_skeleton",
    "equivariance_curve",
    "equivariance_map",
    "figure",
    "hand_panels",
    "image_grid",
    "image_tag",
    "pck",
    "save",
    "skeleton_widget",
    "skeletons",
    "table",
    "view_pairs",
]
