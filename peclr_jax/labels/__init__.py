"""Labels of photos, in anyone's files, and the photos that they are of."""
