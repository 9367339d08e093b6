import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import peclr_jax

# Names that others call; a module that moves keeps them by a re-export.
CALLED = {
    "objectives.contrastive": ("nt_xent", "undo_transform", "equivariant_nt_xent"),
    "views.affine": ("Similarity",),
    "hands.camera": ("to_25d", "from_25d", "root_depth"),
    "hands.metrics": ("joint_errors", "epe", "procrustes_align", "pck_curve", "auc"),
    "hands.skeleton": ("reorder", "FROM_AIT"),
    "models.resnet": ("ResNet50",),
    "models.released": ("ReleasedPoseNetwork",),
    "models.torch_weights": ("from_state_dict", "load_torch", "to_state_dict"),
    "training.optimizer": ("lars_adam", "warmup_cosine"),
}


@pytest.mark.parametrize("name", peclr_jax.__all__)
def test_the_face_has_what_it_names(name):
    assert getattr(peclr_jax, name).__name__ == name
    assert name in dir(peclr_jax)


@pytest.mark.parametrize("module", CALLED)
def test_names_that_others_call_stay(module):
    found = importlib.import_module(f"peclr_jax.{module}")
    assert all(hasattr(found, name) for name in CALLED[module])


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'two_vews'"):
        _ = peclr_jax.two_vews


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("peclr_jax", "jax"),
        ("peclr_jax.tasks.predict", "matplotlib"),
        ("peclr_jax.tasks.predict", "tensorflow"),
        ("peclr_jax.tasks.pretrain", "matplotlib"),
        ("peclr_jax.tasks.pretrain", "orbax"),
        ("peclr_jax.tasks.finetune", "matplotlib"),
        ("peclr_jax.tasks.finetune", "orbax"),
    ],
)
def test_what_a_start_waits_for_is_not_imported_in_vain(module, heavy):
    code = f"import sys, {module}; sys.exit({heavy!r} in sys.modules)"
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
