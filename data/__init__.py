"""Data sets of hands: one TensorFlow Datasets builder a folder, one record for all of them."""
