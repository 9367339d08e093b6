"""PeCLR in JAX: equivariant contrastive pre-training for hand pose estimation.

After Spurr, Dahiya, Wang, Zhang and Hilliges, "Self-Supervised 3D Hand Pose Estimation from
monocular RGB via Contrastive Learning", ICCV 2021, https://arxiv.org/abs/2106.05953.

The names below are imported when they are first used, so that none waits for the others.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_MODULES = {
    "Similarity": "geometry.affine",
    "ViewSpec": "views.spec",
    "two_views": "views.augment",
    "nt_xent": "objectives.contrastive",
    "undo_transform": "objectives.contrastive",
    "equivariant_nt_xent": "objectives.contrastive",
    "lars_adam": "training.optimizer",
    "warmup_cosine": "training.optimizer",
    "to_25d": "geometry.camera",
    "from_25d": "geometry.camera",
    "procrustes_align": "hands.metrics",
    "open_network": "networks.opening",
    "load": "loading",
    "Hands": "loading",
    "HandPrediction": "loading",
}

__all__ = [
    "HandPrediction",
    "Hands",
    "Similarity",
    "ViewSpec",
    "equivariant_nt_xent",
    "from_25d",
    "lars_adam",
    "load",
    "nt_xent",
    "open_network",
    "procrustes_align",
    "to_25d",
    "two_views",
    "undo_transform",
    "warmup_cosine",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
