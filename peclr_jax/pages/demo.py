"""The demo's report: numbers and pictures of every part."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from peclr_jax.pages.html import figure, paragraph, table
from peclr_jax.pages.report import Section, prediction_cards, write_report

# Kind of error -> its name with the unit, the factor from metres or pixels, digits.
_ERRORS = {
    "2d_view": ("2D EPE, px of the view", 1.0, 2),
    "pa": ("PA-EPE, cm", 100.0, 2),
    "root_aligned": ("root-aligned 3D EPE, cm", 100.0, 2),
    "3d": ("3D EPE, cm", 100.0, 2),
}


class Demo(NamedTuple):
    """What the report says about how the demo was run.

    Attributes:
      workdir: Folder with a folder of each part.
      hands: Number of hands rendered for training.
      held_out: Number of hands rendered for testing.
      head: Kind of the fine-tuned head.
      probe_seeds: Seed of each frozen probe.
      own_photos: Whether the predicted photos are the user's; else they are rendered hands.
    """

    workdir: Path
    hands: int
    held_out: int
    head: str
    probe_seeds: Sequence[int]
    own_photos: bool


def write(demo: Demo, probes: dict[str, Any]) -> None:
    """Writes report.html from the files in the folders of the parts and the probes' scores."""
    workdir = demo.workdir
    found = {
        name: json.loads((workdir / name / file).read_text(encoding="utf-8"))
        for name, file in (
            ("pretrain", "summary.json"),
            ("finetune", "summary.json"),
            ("evaluate", "metrics.json"),
        )
    }
    write_report(
        workdir / "report.html",
        "peclr_jax: from rendered hands to 3D hands in photos",
        [
            _overview(demo, found, probes),
            _pretraining(found["pretrain"], workdir / "pretrain"),
            _finetuning(demo.head, found["finetune"], workdir / "finetune"),
            _evaluation(found["evaluate"], workdir / "evaluate"),
            _probes(demo.probe_seeds, probes),
            _equivariance(workdir / "equivariance"),
            _photos(demo.own_photos, workdir / "predict"),
        ],
    )


def _overview(demo: Demo, found: dict[str, Any], probes: dict[str, Any]) -> Section:
    relative = found["evaluate"]["relative"]
    rows = [
        (
            "pre-training: the other view of a hand found among "
            f"{found['pretrain']['images']} (top-1)",
            f"{_percent(found['pretrain']['before']['retrieval_top1'])} before",
            _percent(found["pretrain"]["after"]["retrieval_top1"]),
        ),
        (
            "fine-tuning: 2D EPE over that of the training set's mean pose",
            "100 % for the mean pose",
            _percent(relative["2d_view_over_mean_pose"]),
        ),
        (
            "fine-tuning: PA-EPE over that of the mean pose",
            "100 % for the mean pose",
            _percent(relative["pa_over_mean_pose"]),
        ),
        (
            "fine-tuning: PA-EPE over that of the mean hand, once turned onto the truth",
            "100 % for the mean hand",
            _percent(relative["pa_over_mean_hand"]),
        ),
        (
            "frozen probe: 2D EPE, pre-trained below random",
            "0 % if pre-training had taught nothing",
            _percent(probes["reduction"]),
        ),
    ]
    return Section(
        "In short",
        [
            paragraph(
                f"{demo.hands} hands were rendered and seen without labels first (PeCLR), then "
                f"with them. All errors are on {demo.held_out} other rendered hands that were "
                "never trained on. Everything is small, to fit two CPU cores and minutes: this "
                "shows that the parts work together, not how good the method is."
            ),
            table(rows, ("what", "compare with", "result")),
        ],
    )


def _pretraining(summary: dict[str, Any], folder: Path) -> Section:
    before, after = summary["before"], summary["after"]
    rows = [
        (
            "top-1 retrieval of the other view",
            _percent(before["retrieval_top1"]),
            _percent(after["retrieval_top1"]),
        ),
        (
            "latent equivariance error, of the points' range",
            before["equivariance_error"],
            after["equivariance_error"],
        ),
    ]
    return Section(
        "Pre-training without labels",
        [
            table(rows, ("", "before", "after")),
            figure(
                folder / "views.png",
                "What the objective compares: two views of a hand, and the second moved back onto "
                "the first.",
            ),
            figure(folder / "loss.png", "The contrastive loss."),
            _minutes(summary),
        ],
    )


def _finetuning(head: str, summary: dict[str, Any], folder: Path) -> Section:
    return Section(
        "Fine-tuning to 2.5D poses",
        [
            paragraph(
                f"The projection head makes way for a {head} layer; encoder "
                "and head are trained together on labels that are warped with the images."
            ),
            figure(folder / "labels.png", "Augmented views and their labels."),
            figure(folder / "loss.png", "The loss of Eq. 5, with the root depth's."),
            _minutes(summary),
        ],
    )


def _evaluation(metrics: dict[str, Any], folder: Path) -> Section:
    rows = []
    for kind, (label, factor, digits) in _ERRORS.items():
        measured = metrics["prediction"][kind]
        if measured is None:
            continue
        others = (metrics[name].get(kind) for name in ("mean_pose", "mean_hand"))
        rows.append(
            (
                label,
                _interval(measured["mean"], factor, digits),
                f"{factor * measured['median']:.{digits}f}",
                *(
                    None if other is None else f"{factor * other['mean']['value']:.{digits}f}"
                    for other in others
                ),
            )
        )
    pictures = (
        ("worst.png", "The worst hands: prediction, truth, and both from the front and the side."),
        ("best.png", "The best hands."),
        ("pck.png", "Share of joints within a distance (PCK), and the area under it (AUC)."),
    )
    return Section(
        f"Evaluation: {metrics['data']}, {metrics['hands']} hands",
        [
            table(
                rows,
                ("", "network: mean [95 % interval]", "median", "mean pose", "mean hand"),
            ),
            paragraph(
                "The mean pose is the average 2.5D label, lifted to 3D; the mean hand the average "
                "shape once all hands are turned alike. Procrustes alignment (PA) ignores where "
                "a hand points, so the mean hand is hard to beat there.",
                note=True,
            ),
            *(paragraph(note, note=True) for note in metrics["notes"]),
            *(figure(folder / name, text) for name, text in pictures if (folder / name).exists()),
        ],
    )


def _probes(seeds: Sequence[int], probes: dict[str, Any]) -> Section:
    rows = [
        (f"seed {seed}", pretrained, random, _percent(1 - pretrained / random))
        for seed, pretrained, random in zip(
            seeds, probes["pretrained"], probes["random"], strict=True
        )
    ]
    interval = probes["reduction_interval"]
    within = "" if interval is None else f" [{_percent(interval[0])}, {_percent(interval[1])}]"
    return Section(
        "What pre-training has learned: frozen encoders",
        [
            paragraph(
                "The encoder is frozen and only a two-layer perceptron is trained on it. 2D EPE "
                f"in px of the view; the mean pose has {probes['mean_pose']:.2f}. The seeds are "
                "those of the heads and of the random encoders; the pre-trained encoder is the "
                "same throughout."
            ),
            table(rows, ("", "pre-trained", "random", "reduction")),
            paragraph(
                f"Mean reduction and its 95 % interval (Student's t): "
                f"{_percent(probes['reduction'])}{within}."
            ),
        ],
    )


def _equivariance(folder: Path) -> Section:
    return Section(
        "Equivariance of the fine-tuned network",
        [
            figure(
                folder / "rotation.png",
                "How far the 2D joints of a rotated image, rotated back, miss those of the image "
                "itself (cf. Fig. 9).",
            ),
            figure(folder / "translation.png", "The same for translations (cf. Fig. 10)."),
        ],
    )


def _photos(own: bool, folder: Path) -> Section:
    return Section(
        "Photos" if own else "Rendered hands in place of photos",
        [
            paragraph(
                "The network has only seen a few thousand small rendered hands: expect little of "
                "it on real photos."
                if own
                else "Rendered hands that were never trained on; name photos of your own by "
                "--config.photos."
            ),
            *prediction_cards(folder),
        ],
    )


def _minutes(summary: dict[str, Any]) -> str:
    return paragraph(f"It took {summary['seconds'] / 60:.1f} minutes.", note=True)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _interval(interval: dict[str, float | None], factor: float, digits: int) -> str:
    value, low, high = (interval[name] for name in ("value", "low", "high"))
    text = f"{factor * (value or 0.0):.{digits}f}"
    if low is None or high is None:
        return text
    return f"{text} [{factor * low:.{digits}f}, {factor * high:.{digits}f}]"
