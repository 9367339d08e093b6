"""Anyone's photos: found, read, cut out and drawn on with Pillow; no TensorFlow, no labels."""
