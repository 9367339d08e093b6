"""Plan of `benchmarks/gpu.sh`: groups, the most valuable first, and settings to try."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from benchmarks import machine
from benchmarks.gpu import ceilings, ours, peers
from benchmarks.gpu.ours import Sizes
from benchmarks.harness import Candidate, missing

CEILINGS = "ceilings"
OURS, BEST, OFFICIAL = "ours", "pytorch, best", "pytorch, official"
OPENCV = "official augmentation, opencv"

# Estimated seconds until a candidate is ready, its programs compiled. A wrong estimate costs a row
# that is left out or stopped.
_READY = {OURS: 75.0, BEST: 75.0, OFFICIAL: 20.0, OPENCV: 5.0}
_TIMES_AS_DEEP = {"resnet152": 2.5}
_CACHED = 0.4


@dataclass(frozen=True)
class Scale:
    """Sizes of all that is measured.

    Attributes:
      shallow, deep: Architectures.
      few, usual, most: Pairs in a batch.
      others, deep_others: Further sizes of batches, if there is time.
      micro_pairs: Pairs in a micro-batch, where gradients are cached.
      official_pairs: Pairs in a micro-batch of the official code.
      together: Pairs of the shallow network that three processes can hold at once.
      size, source_size: Sides of views and sources in pixels.
      width: Channels of the stem.
      dtype: Type of our activations.
      side, copied: Sizes for `ceilings`.
      seconds: Time to measure a figure for.
      rounds: Number of turns of every candidate.
      device: Device of PyTorch.
      compiled: Whether the best twin is compiled.
    """

    shallow: str = "resnet50"
    deep: str = "resnet152"
    few: int = 256
    usual: int = 512
    most: int = 2048
    others: tuple[int, ...] = (256, 1024, 2048)
    deep_others: tuple[int, ...] = (512, 1024)
    micro_pairs: int = 512
    official_pairs: int = 128
    together: int = 1024
    size: int = 128
    source_size: int = 192
    width: int = 64
    dtype: str = "bfloat16"
    side: int = 8192
    copied: int = 2**31
    seconds: float = 1.5
    rounds: int = 3
    device: str = "cuda"
    compiled: bool = True


TOY = Scale(
    shallow="resnet18",
    deep="resnet18",
    few=2,
    usual=4,
    most=8,
    others=(),
    deep_others=(),
    micro_pairs=4,
    official_pairs=4,
    size=32,
    source_size=48,
    width=8,
    side=64,
    copied=2**12,
    seconds=0.01,
    rounds=1,
    device="cpu",
    compiled=False,
)


class Attempt(NamedTuple):
    """A candidate and its label; of several attempts the first that fits into memory counts.

    Attributes:
      label: Its settings where they are unusual, else "".
      candidate: The candidate.
    """

    label: str
    candidate: Candidate


class Group(NamedTuple):
    """Candidates that are measured in turn.

    Attributes:
      name: Name of the group in the result.
      candidates: Attempts by the name of the candidate; a string says why there is none.
      rounds: Number of calls in turn.
      expected: Seconds that the group is expected to take.
      ratios: Pairs of names to divide.
      together: Whether the card's memory holds all of them at once; else one follows the other.
    """

    name: str
    candidates: Mapping[str, Sequence[Attempt] | str]
    rounds: int
    expected: float
    ratios: Sequence[tuple[str, str]] = ()
    together: bool = True


class Setting(NamedTuple):
    """A way to run the same step.

    Attributes:
      name: Name in the table.
      flags: Flags of XLA.
      fields: Changed fields of the config.
    """

    name: str
    flags: str = ""
    fields: Mapping[str, Any] = {}


GLOBAL = {"negatives": "global"}
# The flags of XLA are those of jaxlib 0.10 to 0.12; a process that does not know one ends, and its
# row says so.
SETTINGS = (
    Setting("default"),
    Setting("pointwise=dot", fields={"model.pointwise": "dot"}),
    Setting("remat=norm", fields={"model.remat": "norm"}),
    Setting("no Triton products", "--xla_gpu_enable_triton_gemm=false"),
    Setting("latency hiding", "--xla_gpu_enable_latency_hiding_scheduler=true"),
    Setting("no command buffers", "--xla_gpu_enable_command_buffer="),
    Setting("convolution fusion", "--xla_gpu_experimental_enable_conv_fusion=true"),
    Setting("runtime fusion", "--xla_gpu_use_runtime_fusion=true"),
    Setting("fusion autotuner", "--xla_gpu_experimental_enable_fusion_autotuner=true"),
    Setting("cuBLASLt", "--xla_gpu_enable_cublaslt=true"),
    Setting("two micro-batches", fields={"micro_batches": 2, **GLOBAL}),
)


def groups(scale: Scale, *, cached: bool = False) -> list[Group]:
    """Returns all groups, the most valuable first.

    Args:
      scale: The sizes.
      cached: Whether the programs are likely in a cache.
    """
    shallow, deep = scale.shallow, scale.deep
    beside = (OURS, BEST, OFFICIAL)
    micro_batches = scale.most // scale.micro_pairs
    remat = [_ours(scale, shallow, scale.most, {"model.remat": how}) for how in ("norm", "block")]
    deep_most = [
        _ours(scale, deep, scale.most, {"micro_batches": parts, **GLOBAL})
        for parts in (micro_batches, 2 * micro_batches)
    ]
    described = [
        _ceilings(scale),
        _beside(scale, shallow, scale.usual, (*beside, OPENCV)),
        _alone(
            f"{shallow}, {scale.most} pairs, all of them negatives",
            [_ours(scale, shallow, scale.most), *remat],
            scale,
            _READY[OURS],
        ),
        _parts(scale, shallow, scale.usual),
        _alone(
            f"{deep}, {scale.most} pairs, all of them negatives, gradients cached",
            deep_most,
            scale,
            _READY[OURS] * _TIMES_AS_DEEP.get(deep, 1),
        ),
        _beside(scale, deep, scale.few, beside),
        *(_beside(scale, shallow, pairs, (OURS, BEST)) for pairs in scale.others),
        *(_beside(scale, deep, pairs, (OURS,)) for pairs in scale.deep_others),
        _parts(scale, deep, scale.few),
    ]
    factor = _CACHED if cached else 1.0
    return [group._replace(expected=group.expected * factor) for group in described]


def setting_candidate(setting: Setting, sizes: Sizes, seconds: float) -> Candidate:
    """Returns the candidate of a setting, with this process's flags of XLA and its own."""
    kwargs = {"sizes": sizes, "fields": dict(setting.fields), "seconds": seconds}
    flags = f"{os.environ.get('XLA_FLAGS', '')} {setting.flags}".strip()
    return Candidate(ours.prepare, kwargs, environment={"XLA_FLAGS": flags})


def _ceilings(scale: Scale) -> Group:
    kwargs = {"side": scale.side, "copied": scale.copied, "seconds": scale.seconds / 3}
    attempt = Attempt("", Candidate(ceilings.prepare, kwargs))
    return Group(CEILINGS, {"attained": [attempt]}, scale.rounds, 30.0)


def _beside(scale: Scale, architecture: str, pairs: int, names: Sequence[str]) -> Group:
    """Returns the group of ours and the twins."""
    candidates: dict[str, Sequence[Attempt] | str] = {}
    for name in names:
        if name == OURS:
            candidates[name] = [
                _ours(scale, architecture, pairs, fields)
                for fields in ({}, {"model.remat": "norm"})
            ]
        elif name == OPENCV:
            sizes = sizes_of(scale, architecture, pairs)
            kwargs = {"sizes": sizes, "seconds": scale.seconds, "cores": machine.cores()}
            opencv = Candidate(peers.prepare_opencv, kwargs, cores=1)
            candidates[name] = missing("cv2") or [Attempt("", opencv)]
        else:
            candidates[name] = missing("torch") or _twin(scale, name, architecture, pairs)
    depth = _TIMES_AS_DEEP.get(architecture, 1)
    ready = sum(_READY[name] for name in names) * depth
    measured = 2 * len(names) * scale.rounds * scale.seconds
    ratios = [(OURS, name) for name in names if name in (BEST, OFFICIAL)]
    name = f"{architecture}, {pairs} pairs"
    together = pairs * depth <= scale.together
    return Group(name, candidates, scale.rounds, ready + measured, ratios, together)


def _alone(name: str, attempts: Sequence[Attempt], scale: Scale, ready: float) -> Group:
    return Group(name, {OURS: attempts}, scale.rounds, ready + 2 * scale.rounds * scale.seconds)


def _parts(scale: Scale, architecture: str, pairs: int) -> Group:
    kwargs = {
        "sizes": sizes_of(scale, architecture, pairs),
        "fields": {},
        "seconds": scale.seconds / 3,
    }
    attempt = Attempt("", Candidate(ours.prepare_parts, kwargs))
    # By then the whole step is in the cache of programs.
    return Group(
        f"parts of {architecture}, {pairs} pairs",
        {OURS: [attempt]},
        scale.rounds,
        0.8 * _READY[OURS] * _TIMES_AS_DEEP.get(architecture, 1),
    )


def _ours(
    scale: Scale, architecture: str, pairs: int, fields: Mapping[str, Any] | None = None
) -> Attempt:
    fields = dict(fields or {})
    kwargs = {
        "sizes": sizes_of(scale, architecture, pairs),
        "fields": fields,
        "seconds": scale.seconds,
    }
    label = ", ".join(f"{name.split('.')[-1]}={value}" for name, value in fields.items())
    return Attempt(label, Candidate(ours.prepare, kwargs))


def _twin(scale: Scale, name: str, architecture: str, pairs: int) -> list[Attempt]:
    kwargs = {
        "sizes": sizes_of(scale, architecture, pairs),
        "seconds": scale.seconds,
        "device": scale.device,
    }
    if name == OFFICIAL:
        parts = max(1, pairs // scale.official_pairs)
        official = {**kwargs, "style": "official", "micro_batches": parts}
        label = f"micro_batches={parts}" if parts > 1 else ""
        return [Attempt(label, Candidate(peers.prepare, official))]
    best = {**kwargs, "style": "best", "compiled": scale.compiled}
    return [
        Attempt(
            f"micro_batches={parts}" if parts > 1 else "",
            Candidate(peers.prepare, {**best, "micro_batches": parts}),
        )
        for parts in (1, 2, 4)
    ]


def sizes_of(scale: Scale, architecture: str, pairs: int) -> Sizes:
    """Returns the sizes of a step of so many pairs."""
    return Sizes(architecture, pairs, scale.size, scale.source_size, scale.width, scale.dtype)
