"""The demo's report: what each part came to, and what to look at."""

import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from peclr_jax.pages import figure, table
from peclr_jax.pages.report import Section, paragraph, prediction_cards, write_report

# Kind of error -> how it is called, its unit's factor and digits.
_ERRORS = {
    "2d_view": ("2D EPE, px of the view", 1.0, 2),
    "pa": ("PA-EPE, cm", 100.0, 2),
    "root_aligned": ("root-aligned 3D EPE, cm", 100.0, 2),
    "3d": ("3D EPE, cm", 100.0, 2),
}


def write(config: ConfigDict, workdir: Path, probes: dict[str, Any]) -> None:
    """Writes report.html from what the parts have left in their folders.

    Args:
      config: The demo's, prepared.
      workdir: Of the demo.
      probes: From `demo.probe_scores`.
    """
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
            _overview(config, found, probes),
            _pretraining(found["pretrain"], workdir / "pretrain"),
            _finetuning(config, found["finetune"], workdir / "finetune"),
            _evaluation(found["evaluate"], workdir / "evaluate"),
            _probes(config, probes),
            _equivariance(workdir / "equivariance"),
            _photos(config, workdir / "predict"),
        ],
    )


def _overview(config: ConfigDict, found: dict[str, Any], probes: dict[str, Any]) -> Section:
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
    hands = config.finetune.data.rendered
    return Section(
        "In short",
        [
            paragraph(
                f"{hands.count} hands were rendered and seen without labels first (PeCLR), then "
                f"with them. All errors are on {hands.held_out} other rendered hands that were "
                "never trained on. Everything is small, to fit two CPU cores and minutes: this "
                "shows that the parts work together, not how good the method is."
            ),
            table(rows, header=("what", "compare with", "result")),
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
            table(rows, header=("", "before", "after")),
            figure(
                folder / "views.png",
                "What the objective compares: two views of a hand, and the second moved back onto "
                "the first.",
            ),
            figure(folder / "loss.png", "The contrastive loss."),
            _minutes(summary),
        ],
    )


def _finetuning(config: ConfigDict, summary: dict[str, Any], folder: Path) -> Section:
    return Section(
        "Fine-tuning to 2.5D poses",
        [
            paragraph(
                f"The projection head makes way for a {config.finetune.model.head} layer; encoder "
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
                header=("", "network: mean [95 % interval]", "median", "mean pose", "mean hand"),
            ),
            paragraph(
                "The mean pose is the average 2.5D label, lifted to 3D; the mean hand the average "
                "shape once all hands are turned alike. Procrustes alignment (PA) forgives the "
                "mean hand that it does not know where the hand points, so it is hard to beat "
                "there.",
                note=True,
            ),
            *(paragraph(note, note=True) for note in metrics["notes"]),
            *(figure(folder / name, text) for name, text in pictures if (folder / name).exists()),
        ],
    )


def _probes(config: ConfigDict, probes: dict[str, Any]) -> Section:
    rows = [
        (f"seed {seed}", pretrained, random, _percent(1 - pretrained / random))
        for seed, pretrained, random in zip(
            config.probe_seeds, probes["pretrained"], probes["random"], strict=True
        )
    ]
    interval = probes["reduction_interval"]
    within = "" if interval is None else f" [{_percent(interval[0])}, {_percent(interval[1])}]"
    return Section(
        "What pre-training has taught: frozen encoders",
        [
            paragraph(
                "The encoder is frozen and only a two-layer perceptron is trained on it. 2D EPE "
                f"in px of the view; the mean pose has {probes['mean_pose']:.2f}. The seeds are "
                "those of the heads and of the random encoders; the pre-trained one is one and "
                "the same."
            ),
            table(rows, header=("", "pre-trained", "random", "reduction")),
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


def _photos(config: ConfigDict, folder: Path) -> Section:
    rendered = config.predict.images != config.photos
    return Section(
        "Rendered hands in place of photos" if rendered else "Photos",
        [
            paragraph(
                "Rendered hands that were never trained on; name photos of your own by "
                "--config.photos."
                if rendered
                else "The network has only ever seen a few thousand rendered hands, small ones "
                "too: on real photos expect little of it."
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
