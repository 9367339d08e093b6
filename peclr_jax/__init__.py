"""PeCLR in JAX: equivariant contrastive pre-training for hand pose estimation.

After Spurr, Dahiya, Wang, Zhang and Hilliges, "Self-Supervised 3D Hand Pose Estimation from
monocular RGB via Contrastive Learning", ICCV 2021, https://arxiv.org/abs/2106.05953.
"""

__version__ = "0.1.0"
