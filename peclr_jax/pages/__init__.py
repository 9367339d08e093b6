"""Every picture and page that we draw."""

from peclr_jax.pages.charts import (
    bars,
    curve,
    curves,
    equivariance_curve,
    equivariance_map,
    pck,
    reliability,
)
from peclr_jax.pages.figures import as_image, save, skeletons, view_pairs
from peclr_jax.pages.hand_panels import HandPanel, hand_panels

__all__ = [
    "HandPanel",
    "as_image",
    "bars",
    "curve",
    "curves",
    "equivariance_curve",
    "equivariance_map",
    "hand_panels",
    "pck",
    "reliability",
    "save",
    "skeletons",
    "view_pairs",
]
