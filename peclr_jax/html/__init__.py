"""Web pages that need no server and no network: everything they show is inside them."""

from peclr_jax.html.page import Page, figure, image_tag, page, table
from peclr_jax.html.skeleton import skeleton_widget

__all__ = ["Page", "figure", "image_tag", "page", "skeleton_widget", "table"]
