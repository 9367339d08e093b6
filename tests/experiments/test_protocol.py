"""Each experiment's plan at the paper's scale, held against what the paper says of it."""

import dataclasses
import functools
import io

import pytest

from configs.experiments.parts import scales
from peclr_jax.experiments import protocol
from peclr_jax.terminal import Console
from tests.experiments.test_plan import FILES, make

OF_THE_PAPER = [name for name in FILES if name.startswith(("figure", "table"))]

BOTH = "freihand (train+validation), youtube_3d_hands (train)"  # Sec. 4.6: "on FH and YT3D"
NINE_TENTHS = "freihand (train)"  # Sec. 4.4: "90% as training and 10% as validation set"
ALL = "freihand (train+validation)"  # Sec. 4.6: "fine-tuned supervised on the FH dataset"
RN50 = {"resnet50"}
RN152 = {"resnet152"}

# Sec. 8; Sec. 4.4: PeCLR is best with all four, SimCLR with scale and colour jitter.
SCALE = "scale 0.6 to 2"
ROTATION = "rotation -45 to 45 deg"
TRANSLATION = "translation -15 to 15 px"
JITTER = "colour jitter (hue x 0.01 to 1, saturation x 0.01 to 1, value x 0.5 to 1 + 5 to 20)"
PECLRS = ", ".join((SCALE, ROTATION, TRANSLATION, JITTER))

# Of each experiment: the sets to pre-train on, the encoders, the set to fine-tune on, the view's
# side in fine-tuning, and what is evaluated, with the crop.
FACTS = {
    # Sec. 4.4: RN50, "freeze the encoder and train a two-layer MLP"; Sec. 4.1: 128 x 128.
    "table1": ({NINE_TENTHS}, RN50, NINE_TENTHS, 128, {"freihand (validation)": "labelled box"}),
    "figure5": ({NINE_TENTHS}, RN50, NINE_TENTHS, 128, {"freihand (validation)": "labelled box"}),
    # Sec. 7: "in the same manner as in Sec 4.3", that is 4.4.
    "figure7": ({NINE_TENTHS}, RN50, NINE_TENTHS, 128, {"freihand (validation)": "labelled box"}),
    # Sec. 4.5: "use a RN152"; M_FH and M_FH+YT3D.
    "figure6": (
        {NINE_TENTHS, "freihand (train), youtube_3d_hands (train)"},
        RN152,
        NINE_TENTHS,
        128,
        {"freihand (validation)": "labelled box"},
    ),
    # Sec. 9: RN50 "in the same setting".
    "figure8": (
        {NINE_TENTHS, "freihand (train), youtube_3d_hands (train)"},
        RN50,
        NINE_TENTHS,
        128,
        {"freihand (validation)": "labelled box"},
    ),
    # Sec. 11: "pre-trained self-supervised on both datasets and finetuned supervised on FH".
    "figure9_10": (
        {BOTH},
        RN50,
        ALL,
        128,
        {"freihand (evaluation)": "labelled box", "youtube_3d_hands (test)": "labelled box"},
    ),
    # Sec. 4.6: "increased image resolution of 224 x 224 pixels and a RN152", "repeat ... RN50".
    "table2": (
        {BOTH},
        RN50 | RN152,
        ALL,
        224,
        {"freihand (evaluation)": "two passes, no label; labelled box"},
    ),
    # Table 3's caption: RN152; Sec. 4.7: "our models of Sec. 4.6".
    "table3": (
        {BOTH},
        RN152,
        ALL,
        224,
        {
            "freihand (evaluation)": "two passes, no label",
            "youtube_3d_hands (test)": "labelled box",
        },
    ),
    # Sec. 10: "fine-tuned supervised on HO-3D"; the table's caption: RN50.
    "table4": (
        {BOTH},
        RN50,
        "ho3d/v2 (train+validation)",
        224,
        {"ho3d/v2 (evaluation)": "labelled box"},
    ),
    # Sec. 10: the network of Sec. 4.6.
    "table5": ({BOTH}, RN152, ALL, 224, {"dexter_object (test)": "labelled box"}),
}
# The paper's columns, in its order.
COLUMNS = {
    "table1": ["3D EPE, cm", "AUC 0-50 cm", "2D EPE, px of the view"],
    "table2": ["PA-EPE, cm", "PA-AUC"],
    "table3": ["3D EPE, cm", "AUC", "PA-EPE, cm", "2D EPE, px of a crop of 224"],
    "table4": ["PA-EPE, cm", "PA-AUC", "3D EPE, cm", "AUC"],
    "table5": ["PA-AUC"],
    "figure6": ["3D EPE, cm"],
    "figure8": ["3D EPE, cm"],
}
# Every number of the tables' rows that are the paper's own networks.
NUMBERS = {
    "table1": {("SimCLR", "16.62", "0.72", "12.05"), ("PeCLR", "16.05", "0.74", "10.51")},
    "table2": {
        ("RN50", "0.83", "0.84"),
        ("RN50 + PeCLR", "0.71", "0.86"),
        ("RN152", "0.74", "0.85"),
        ("RN152 + PeCLR", "0.66", "0.87"),
    },
    "table3": {
        ("RN152", "5.05", "0.34"),
        ("RN152 + PeCLR", "4.56", "0.36"),
        ("RN152", "3.05", "22.1"),
        ("RN152 + PeCLR", "2.88", "16.9"),
    },
    "table4": {
        ("supervised", "1.33", "0.74", "2.85", "0.5"),
        ("PeCLR", "1.09", "0.78", "2.26", "0.58"),
    },
    "table5": {("supervised", "0.77"), ("PeCLR", "0.81")},
}
# Percentages of the text.
SAID = {
    "table1": ["3.4 %", "12.8 %"],
    "figure5": ["57 %", "34 %"],
    "figure6": ["20 %", "40 %", "43 %"],
    "figure8": ["8.6 %"],
    "table2": ["14.5 %", "10.8 %"],
    "table3": ["9.7 %", "5.6 %", "23.5 %"],
    "table4": ["18 %"],
    "table5": ["4.9 %"],
}


@functools.cache
def planned(file: str, recipe: str = "paper") -> dict[str, protocol.Sheet]:
    return {sheet.title: sheet for sheet in protocol.sheets(make(file, recipe))}


def column(sheet: protocol.Sheet, name: str) -> list[str]:
    return [row[sheet.columns.index(name)] for row in sheet.rows]


def test_every_experiment_of_the_paper_has_its_facts():
    assert set(OF_THE_PAPER) == set(FACTS)


@pytest.mark.parametrize("file", FACTS)
def test_the_plan_is_the_papers(file):
    sets, encoders, tuned_on, side, evaluated_on = FACTS[file]
    sheets = planned(file)
    pretraining, finetuning, evaluation = (
        sheets[title] for title in ("Pre-training", "Fine-tuning", "Evaluation")
    )
    assert set(column(pretraining, "data (split)")) - {"none"} == sets
    assert set(column(pretraining, "network")) - {""} == encoders
    assert set(column(finetuning, "data (split)")) == {tuned_on}
    assert {name.partition(",")[0] for name in column(finetuning, "network")} == encoders
    assert set(column(finetuning, "view")) == {f"{side} px"}
    # Sec. 4.1 and 8, whatever the experiment.
    assert set(column(pretraining, "view")) - {""} == {"128 px"}
    assert set(column(pretraining, "length")) - {""} == {"100 epochs"}
    assert set(column(pretraining, "batch")) - {""} == {"2048"}
    assert set(column(finetuning, "length")) == {"100 epochs"}
    assert set(column(finetuning, "batch")) == {"128"}
    assert set(column(pretraining, "optimizer")) - {""} == {"lars_adam 0.0045, warm-up 10 %"}
    assert set(column(finetuning, "optimizer")) == {"adam 0.0005"}
    shift = 20 * side / 128  # "t in [-20, 20]^2", of views of 128 pixels
    assert set(column(finetuning, "augmentation")) == {
        f"scale 0.7 to 1.3, rotation -90 to 90 deg, translation -{shift:g} to {shift:g} px"
    }
    crops: dict[str, str] = {}
    pairs = zip(*(column(evaluation, name) for name in ("data (split)", "crop")), strict=True)
    for data, crop in pairs:
        crops[data] = f"{crops[data]}; {crop}" if data in crops else crop
    assert crops == evaluated_on


@pytest.mark.parametrize("file", sorted(set(FACTS) - {"figure5", "figure7", "table1"}))
def test_peclr_is_pre_trained_with_its_best_composition(file):
    sheet = planned(file)["Pre-training"]
    pairs = zip(column(sheet, "objective"), column(sheet, "augmentation"), strict=True)
    assert {views for objective, views in pairs if objective.startswith("peclr")} == {PECLRS}


def test_table_1_takes_the_best_composition_of_each():
    assert column(planned("table1")["Pre-training"], "augmentation") == [
        "",
        f"{SCALE}, {JITTER}",
        PECLRS,
    ]


@pytest.mark.parametrize("part", ["5a", "5b"])
def test_figure_5_takes_one_transformation_at_a_time(part):
    one = {SCALE, ROTATION, TRANSLATION, JITTER}
    one |= {"colour drop", "cut-out", "blur", "noise", "Sobel filter"}
    found = column(planned("figure5", f"paper+{part}")["Pre-training"], "augmentation")
    assert set(found) - {""} == (one if part == "5a" else {ROTATION, TRANSLATION})


def test_figure_7_takes_translation_alone():
    found = column(planned("figure7")["Pre-training"], "augmentation")
    assert set(found) - {""} == {TRANSLATION}


def test_the_plan_shows_what_differs_and_then_what_is_the_same():
    stream = io.StringIO()
    protocol.show(make("table1", "paper"), Console(file=stream))
    text = stream.getvalue()
    pretraining = text[text.index("Pre-training") : text.index("Fine-tuning")]
    head, _, same = pretraining.partition("The same for all arms:")
    assert "augmentation" in head
    assert "optimizer" not in head
    assert "optimizer: lars_adam 0.0045, warm-up 10 %; length: 100 epochs" in same


def test_the_plan_has_what_equivariance_is_measured_of():
    # Sec. 11: "in the range [-80, 80] degrees", "[-25, 25]^2".
    sheet = planned("figure9_10")["Equivariance, of every comparison"]
    assert column(sheet, "range") == [
        "-80 to 80 deg, every 10",
        "-25 to 25 px of 128 along both axes, every 5",
    ]
    assert set(column(sheet, "evaluation's images")) == {"all of each"}
    assert "Equivariance, of every comparison" not in planned("table1")


def test_the_plan_compares_the_arms_that_are_chosen():
    chosen = dataclasses.replace(make("table1", "paper"), only="random,peclr")
    (sheet,) = (one for one in protocol.sheets(chosen) if one.title.startswith("Comparisons"))
    assert [label for label, _ in sheet.rows] == [
        "PeCLR (scale, rotation, translation, colour) than random encoder"
    ]


def test_the_plan_of_what_came_after_tells_its_arms_apart():
    sheet = planned("best", "cpu+successors+one_seed")["Pre-training"]
    # At equal compute: the same number of steps and of views, and the same network.
    for name in ("data (split)", "network", "view", "length", "batch"):
        assert len(set(column(sheet, name)) - {"", "none"}) == 1, name
    asked = [text for text in column(sheet, "objective") if text]
    assert len(set(asked)) == len(asked) == 14
    assert "peclr, temperature 0.5, pairs: mined, weights: adaptive" in asked
    assert "peclr, temperature 0.1, maps: 1" in asked


@pytest.mark.parametrize("file", COLUMNS)
def test_the_papers_columns_come_first(file):
    wanted = COLUMNS[file]
    for columns in column(planned(file)["Evaluation"], "columns"):
        assert columns.split("; ")[: len(wanted)] == wanted


@pytest.mark.parametrize("file", NUMBERS)
def test_the_papers_numbers_stand_beside(file):
    sheets = [sheet for title, sheet in planned(file).items() if "numbers" in title]
    rows = {
        (label.partition(" (")[0], *filter(None, numbers))
        for sheet in sheets
        for label, *numbers in sheet.rows
        if "(Table" in label
    }
    assert rows >= NUMBERS[file]


@pytest.mark.parametrize("file", SAID)
def test_the_papers_percentages_are_said_with_their_place(file):
    claim = make(file, "paper").claim
    assert all(percent in claim for percent in SAID[file])
    assert "Sec. " in claim


@pytest.mark.parametrize("file", ["table1", "figure5", "figure7"])
def test_frozen_encoders_are_probed_by_a_perceptron(file):
    networks = column(planned(file)["Fine-tuning"], "network")
    assert set(networks) == {"resnet50, frozen, mlp head"}


def test_labels_are_shared_out_as_in_figure_6():
    sheet = planned("figure6")["Fine-tuning"]
    assert set(column(sheet, "labels")) == {f"{p} %" for p in (10, 20, 40, 80, 100)}


def test_the_objectives_are_those_of_the_arms():
    arms = dict(
        zip(
            column(planned("figure9_10")["Pre-training"], "arm"),
            column(planned("figure9_10")["Pre-training"], "objective"),
            strict=True,
        )
    )
    assert [text.partition(",")[0] for text in arms.values()] == ["simclr", "peclr"]
    direct = column(planned("figure7")["Pre-training"], "objective")
    assert [text.partition(",")[0] for text in direct] == ["simclr", "peclr", "direct_translation"]


def test_the_search_tries_all_compositions_of_four():
    spec = make("figure5", "paper+compositions")
    arms = spec.arms
    # 2^4 - 1 for SimCLR; PeCLR differs with rotation or translation: 2^4 - 2^2.
    assert sum(name.startswith("simclr") for name in arms) == 15
    assert sum(name.startswith("peclr") for name in arms) == 12
    # Each of these with SimCLR under the same augmentations, and the best of both.
    pairs = [
        (c.arm.partition("_")[2], c.against.partition("_")[2]) for c in spec.comparisons.values()
    ]
    assert sum(one == other for one, other in pairs) == 12
    assert len(pairs) == 13


@pytest.mark.parametrize("scale", scales.SCALES)
@pytest.mark.parametrize("file", FILES)
def test_every_plan_is_printed_without_any_data(file, scale, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    console = Console(file=io.StringIO(), width=200)
    spec = make(file, scale)
    protocol.show(spec, console)
    printed = console.file.getvalue()
    assert all(arm.label.split(",")[0] in printed for arm in spec.arms.values())
    assert spec.claim in printed
    assert not list(tmp_path.iterdir())


def test_the_plan_is_of_the_arms_that_are_chosen():
    training = protocol.sheets(make("table1", "cpu", only="random"))[0]
    assert len(training.rows) == 1
