"""The procedural hand: random hands, and their images with exact labels, in pure JAX."""
