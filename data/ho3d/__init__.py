"""HO-3D (Hampali et al., CVPR 2020): right hands that hold objects."""
