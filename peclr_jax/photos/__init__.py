"""Photos from users: found, read, cropped and reduced with Pillow; no TensorFlow, no labels."""
