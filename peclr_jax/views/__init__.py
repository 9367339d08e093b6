"""What a view is: a similarity transform of the image plane and a change of appearance."""
