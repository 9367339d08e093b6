"""The procedural hand: random hands, and their images with exact labels, in pure JAX."""

BACKGROUNDS = ("green", "shared", "clutter")
"""What hands are rendered before; `RenderSpec` says what each is."""

RENDERER_VERSION = 1
"""Version of the pixels and labels that a key gives.

Raise it with every change of them, here or in `input_pipeline/rendered.py`, which makes examples of
hands: kept hands are then rendered again, and runs on other hands are told apart.
`tests/synthetic/test_render.py` fails where the pixels have changed and the version has not.
"""
