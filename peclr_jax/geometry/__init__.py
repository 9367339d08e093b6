"""Plane and camera geometry: transforms, crops, projection."""
