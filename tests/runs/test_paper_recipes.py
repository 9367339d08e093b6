"""The paper's recipes, field by field, beside what its sections say."""

import functools
import itertools
import math
import operator

import numpy as np
import pytest

from configs import finetune, pretrain
from peclr_jax import specs
from peclr_jax.input_pipeline.order import Order, choose_fraction
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec

# FreiHAND's frames (Sec. 4.3), each in four versions, nine tenths of them trained on (Sec. 4.4).
FRAMES, VERSIONS = round(0.9 * 32_560), 4

PRETRAINING = {
    ("4.1", "views.size"): 128,
    ("4.1", "batch_size"): 2048,
    ("4.1", "optimizer.name"): "lars_adam",
    ("4.4", "loss.objective"): "peclr",
    # Its best composition: scale, rotation, translation and colour jitter, nothing else of Fig. 4.
    ("4.4", "views.color_jitter"): True,
    ("4.4", "views.color_jitter_probability"): 1.0,
    **{
        ("4.4", f"views.{name}"): False
        for name in ["color_drop", "blur", "noise", "sobel", "cutout"]
    },
    ("8", "num_epochs"): 100.0,
    ("8", "num_steps"): 0,
    ("8", "micro_batches"): 16,  # "we accumulate gradients across smaller batches"
    ("8", "model.dtype"): "bfloat16",  # "mixed precision"
    ("8", "optimizer.learning_rate"): 1e-4,  # times the square root of the batch
    ("8", "optimizer.warmup_epochs"): 10.0,
    ("8", "data.weights"): "",  # "roughly equal amount of samples of each dataset"
    ("8", "views.rotation_deg"): 45.0,
    ("8", "views.translation"): (-15 / 128, 15 / 128),
    ("8", "views.scale"): (0.6, 2.0),
    ("8", "views.hue"): (0.01, 1.0),
    ("8", "views.saturation"): (0.01, 1.0),
    ("8", "views.value_gain"): (0.5, 1.0),
    ("8", "views.value_offset"): (5.0, 20.0),
}
FINETUNING = {
    ("4.1", "views.size"): 128,
    ("4.1", "optimizer.name"): "adam",
    ("4.1", "optimizer.learning_rate"): 5e-4,
    ("3.2", "model.head"): "linear",
    ("3.2", "model.frozen"): False,
    ("8", "num_epochs"): 100.0,
    ("8", "num_steps"): 0,
    ("8", "batch_size"): 128,
    ("8", "optimizer.warmup_epochs"): 0.0,
    ("8", "optimizer.weight_decay"): 0.0,
    ("8", "views.rotation_deg"): 90.0,
    ("8", "views.translation"): (-20 / 128, 20 / 128),
    ("8", "views.scale"): (0.7, 1.3),
    ("8", "views.color_jitter"): False,
}


def pretraining(recipe):
    return specs.from_config(PretrainSpec, pretrain.get_config(recipe))


def finetuning(recipe):
    return specs.from_config(FinetuneSpec, finetune.get_config(recipe))


def differences(spec, paper):
    return {
        f"Sec. {section}: {field}": (found, wanted)
        for (section, field), wanted in paper.items()
        if (found := operator.attrgetter(field)(spec)) != wanted
    }


@pytest.mark.parametrize("depth", ["50", "152"])
def test_pretraining_is_the_papers(depth):
    for variants in ("", "+youtube", "+youtube+all_images"):
        spec = pretraining(f"paper_rn{depth}{variants}")
        assert not differences(
            spec, PRETRAINING | {("4.4", "model.architecture"): f"resnet{depth}"}
        )
    assert spec.data.names == "freihand,youtube_3d_hands"
    assert spec.data.split == "train+validation,train"


@pytest.mark.parametrize("depth", ["50", "152"])
def test_finetuning_is_the_papers(depth):
    network = {("4.4, 4.5", "model.architecture"): f"resnet{depth}"}
    assert not differences(finetuning(f"paper_rn{depth}+scratch"), FINETUNING | network)
    # Secs. 4.6 and 4.7: nothing but the size, the translation in shares of the side.
    larger = network | {("4.1", "views.size"): 224}
    spec = finetuning(f"paper_rn{depth}+scratch+all_labels+224px")
    assert not differences(spec, FINETUNING | larger)
    assert spec.data.source_size / spec.views.size == spec.data.source_margin
    # Sec. 4.4: a frozen encoder and a two-layer perceptron.
    probe = {("3.2", "model.head"): "mlp", ("3.2", "model.frozen"): True}
    assert not differences(finetuning(f"paper_rn{depth}+scratch+probe"), FINETUNING | probe)


def test_learning_rates_are_the_papers():
    """Sec. 8: sqrt(batch) 1e-4, ten epochs of linear warm-up, then a cosine; 4.5e-3 in Sec. 4.1."""
    spec = pretraining("paper_rn50")
    assert spec.peak_learning_rate == pytest.approx(math.sqrt(2048) * 1e-4)
    epoch = FRAMES * VERSIONS // spec.batch_size
    total, rate = spec.schedule(epoch, spec.peak_learning_rate)
    assert total == 100 * epoch
    assert float(rate(10 * epoch)) == pytest.approx(4.5e-3, rel=0.01)
    np.testing.assert_allclose(rate(5 * epoch), spec.peak_learning_rate / 2, rtol=0.01)
    np.testing.assert_allclose(rate(55 * epoch), spec.peak_learning_rate / 2, rtol=1e-5)

    spec = finetuning("paper_rn50")
    total, rate = spec.schedule(900, spec.optimizer.learning_rate)
    assert total == 90_000
    np.testing.assert_allclose(rate(0), 5e-4)
    np.testing.assert_allclose(rate(45_000), 2.5e-4, rtol=1e-6)


def test_batches_hold_equal_shares_of_the_data_sets():
    """Sec. 8, whatever their sizes."""
    spec = pretraining("paper_rn50+youtube")
    sizes = (FRAMES * VERSIONS, 47_125)
    rows = Order(sizes, spec.batch_size, spec.seed, spec.data.shares).indices(0)
    assert (rows < sizes[0]).sum() == spec.batch_size / 2


def test_a_share_of_the_labels_is_gone_through_as_often():
    """Sec. 8's 100 epochs, of the labelled frames, which are parts of each other (Sec. 4.5)."""
    frames = np.tile(np.arange(FRAMES), VERSIONS)
    choose = functools.cache(lambda share, seed: choose_fraction(frames, share, seed))
    kept = []
    for name, share in [("_10", 0.1), ("_20", 0.2), ("_40", 0.4), ("_80", 0.8), ("", 1.0)]:
        spec = finetuning(f"paper_rn152+labels{name}" if name else "paper_rn152")
        rows = choose(spec.data.label_fraction, spec.data.label_seed)
        assert len(rows) == VERSIONS * math.ceil(share * FRAMES)
        assert (np.unique(frames[rows], return_counts=True)[1] == VERSIONS).all()
        order = Order((len(rows),), spec.batch_size, spec.seed)
        total, _ = spec.schedule(order.steps_per_epoch, spec.optimizer.learning_rate)
        assert total == 100 * (len(rows) // 128)
        kept.append(set(rows.tolist()))
    assert all(smaller < larger for smaller, larger in itertools.pairwise(kept))


def test_the_official_recipe_sets_what_it_can():
    spec, paper = pretraining("official_rn50"), pretraining("paper_rn50")
    changed = {
        name: value
        for name, value in specs.to_dict(spec).items()
        if value != specs.to_dict(paper)[name]
    }
    assert changed.keys() == {"recipe", "init", "data", "views", "optimizer"}
    assert spec.init.torch_checkpoint == "weights/resnet50-0676ba61.pth"
    assert spec.data.split == "train+validation"
    np.testing.assert_allclose(spec.views.scale, (0.8333, 1.3889), rtol=1e-4)
    assert spec.views.translation == (-14 / 128, 0.0)
    assert (spec.views.channel_order, spec.views.quantize, spec.views.sobel_wrap) == (
        *("bgr", True, True),
    )
    assert spec.optimizer.decay_mask == "official"
