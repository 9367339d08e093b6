"""Photos and films from users: found, read, cropped and reduced, and the boxes of their hands."""
