"""Trained networks: opened from a checkpoint, applied to images, measured."""
