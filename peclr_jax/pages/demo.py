"""The demo's report: numbers and pictures of every part."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from peclr_jax.files import read_json
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
    """What the report says about how the demo was run; `workdir` has a folder of each part."""

    workdir: Path
    hands: int
    held_out: int
    head: str
    probe_seeds: Sequence[int]
    own_photos: bool


def write(demo: Demo, probes: dict[str, Any]) -> None:
    """Writes report.html from the files in the folders of the parts and the probes' scores."""
    workdir = demo.workdir

    pretrained, finetuned = (
        read_json(workdir / name / "summary.json") for name in ("pretrain", "finetune")
    )
    metrics = read_json(workdir / "evaluate/metrics.json")
    sections = [
        _overview(demo, pretrained, metrics["relative"], probes),
        _pretraining(pretrained, workdir / "pretrain"),
        _finetuning(demo.head, finetuned, workdir / "finetune"),
        _evaluation(metrics, workdir / "evaluate"),
        _probes(demo.probe_seeds, probes),
        _equivariance(workdir / "equivariance"),
        _photos(demo.own_photos, workdir / "predict"),
    ]
    title = "peclr_jax: from rendered hands to 3D hands in photos"
    write_report(workdir / "report.html", title, sections)


def _overview(
    demo: Demo, pretrained: dict[str, Any], relative: dict[str, float], probes: dict[str, Any]
) -> Section:
    before, after = (pretrained[when]["retrieval_top1"] for when in ("before", "after"))
    images, mean_pose = pretrained["images"], "100 % for the mean pose"
    rows = [
        (
            f"pre-training: the other view of a hand found among {images} (top-1)",
            f"{_percent(before)} before",
            after,
        ),
        (
            "fine-tuning: 2D EPE over that of the training set's mean pose",
            mean_pose,
            relative["2d_view_over_mean_pose"],
        ),
        (
            "fine-tuning: PA-EPE over that of the mean pose",
            mean_pose,
            relative["pa_over_mean_pose"],
        ),
        (
            "fine-tuning: PA-EPE over that of the mean hand, once turned onto the truth",
            "100 % for the mean hand",
            relative["pa_over_mean_hand"],
        ),
        (
            "frozen probe: 2D EPE, pre-trained below random",
            "0 % if pre-training had taught nothing",
            probes["reduction"],
        ),
    ]
    text = (
        f"{demo.hands} hands were rendered and seen without labels first (PeCLR), then with them. "
        f"All errors are on {demo.held_out} other rendered hands that were never trained on. "
        "Everything is small, to fit two CPU cores and minutes: this shows that the parts work "
        "together, not how good the method is."
    )
    shown = [(what, other, _percent(share)) for what, other, share in rows]
    return Section("In short", [paragraph(text), table(shown, ("what", "compare with", "result"))])


def _pretraining(summary: dict[str, Any], folder: Path) -> Section:
    results = summary["before"], summary["after"]
    retrieval, error = "top-1 retrieval of the other view", "latent equivariance error"
    rows = [
        (retrieval, *(_percent(result["retrieval_top1"]) for result in results)),
        (f"{error}, of the points' range", *(result["equivariance_error"] for result in results)),
    ]
    views = "two views of a hand, and the second moved back onto the first"
    return Section(
        "Pre-training without labels",
        [
            table(rows, ("", "before", "after")),
            figure(folder / "views.png", f"What the objective compares: {views}."),
            figure(folder / "loss.png", "The contrastive loss."),
            _minutes(summary),
        ],
    )


def _finetuning(head: str, summary: dict[str, Any], folder: Path) -> Section:
    text = (
        f"The projection head makes way for a {head} head; encoder and head are trained together "
        "on labels that are warped with the images."
    )
    return Section(
        "Fine-tuning to 2.5D poses",
        [
            paragraph(text),
            figure(folder / "labels.png", "Augmented views and their labels."),
            figure(folder / "loss.png", "The loss of Eq. 5, with the root depth's."),
            _minutes(summary),
        ],
    )


def _evaluation(metrics: dict[str, Any], folder: Path) -> Section:
    rows = []
    for kind, (label, factor, digits) in _ERRORS.items():
        if (measured := metrics["prediction"][kind]) is None:
            continue

        def text(value: float, factor: float = factor, digits: int = digits) -> str:
            return f"{factor * value:.{digits}f}"

        mean, low, high = (measured["mean"][name] for name in ("value", "low", "high"))
        interval = "" if low is None or high is None else f" [{text(low)}, {text(high)}]"
        others = (metrics[name].get(kind) for name in ("mean_pose", "mean_hand"))
        compared = (None if other is None else text(other["mean"]["value"]) for other in others)
        rows.append((label, text(mean or 0.0) + interval, text(measured["median"]), *compared))
    pictures = (
        ("worst.png", "The worst hands: prediction, truth, and both from the front and the side."),
        ("best.png", "The best hands."),
        ("pck.png", "Share of joints within a distance (PCK), and the area under it (AUC)."),
    )
    baselines = (
        "The mean pose is the average 2.5D label, lifted to 3D; the mean hand the average shape "
        "once all hands are turned alike. Procrustes alignment (PA) ignores where a hand points, "
        "so the mean hand is hard to beat there."
    )
    header = ("", "network: mean [95 % interval]", "median", "mean pose", "mean hand")
    return Section(
        f"Evaluation: {metrics['data']}, {metrics['hands']} hands",
        [
            table(rows, header),
            *(paragraph(note, note=True) for note in (baselines, *metrics["notes"])),
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
    text = (
        "The encoder is frozen and only a two-layer perceptron is trained on it. 2D EPE in px of "
        f"the view; the mean pose has {probes['mean_pose']:.2f}. The seeds are those of the heads "
        "and of the random encoders; the pre-trained encoder is the same throughout."
    )
    reduction = "Mean reduction and its 95 % interval (Student's t): "
    return Section(
        "What pre-training has learned: frozen encoders",
        [
            paragraph(text),
            table(rows, ("", "pre-trained", "random", "reduction")),
            paragraph(f"{reduction}{_percent(probes['reduction'])}{within}."),
        ],
    )


def _equivariance(folder: Path) -> Section:
    text = (
        "How far the 2D joints of a rotated image, rotated back, miss those of the image itself "
        "(cf. Fig. 9)."
    )
    translation = "The same for translations (cf. Fig. 10)."
    pictures = [
        figure(folder / "rotation.png", text),
        figure(folder / "translation.png", translation),
    ]
    return Section("Equivariance of the fine-tuned network", pictures)


def _photos(own: bool, folder: Path) -> Section:
    if own:
        title = "Photos"
        text = (
            "The network has only seen a few thousand small rendered hands: expect little of it on "
            "real photos."
        )
    else:
        title = "Rendered hands in place of photos"
        text = (
            "Rendered hands that were never trained on; name photos of your own by --config.photos."
        )
    return Section(title, [paragraph(text), *prediction_cards(folder)])


def _minutes(summary: dict[str, Any]) -> str:
    return paragraph(f"It took {summary['seconds'] / 60:.1f} minutes.", note=True)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
