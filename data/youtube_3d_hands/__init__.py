"""YouTube3DHands: hands in videos, as meshes in image pixels."""
