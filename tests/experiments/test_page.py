"""The page of results: what a reader is told of given numbers."""

import pytest

from peclr_jax.errors import UserError
from peclr_jax.experiments import page as experiment_page
from peclr_jax.experiments.spec import STEPS
from peclr_jax.pages import figures


def mean(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def arm(label, epe, series, x, seeds=("0", "1")):
    return {
        "label": label,
        "series": series,
        "x": x,
        "seeds": {seed: {"held_out": {"epe_2d": epe["value"]}} for seed in seeds},
        "mean": {"held_out": {"epe_2d": epe}},
    }


@pytest.fixture
def results():
    compared = {"reduction": mean(0.25, 0.2, 0.3), "apart": True}
    return {
        "title": "Figure 5",
        "claim": "57 %.",
        "data": "rendered hands",
        "recipe": "cpu",
        "network": "resnet18 at 64 px",
        "devices": "1 x cpu",
        "versions": {"jax": "0.10.2"},
        "seeds": [0, 1],
        "figure": "bars",
        "x_label": "steps",
        "metrics": ["epe_2d", "pa_epe"],
        "compared": ["epe_2d"],
        "labelled_by": {},
        "photographs": {},
        "paper": {"held_out": {"the paper": {"epe_2d": 1.5}}},
        "arms": {
            "simclr": arm("SimCLR", mean(12.0, 11.0, 13.0), "SimCLR", 100.0),
            "peclr": arm("PeCLR", mean(9.0, 8.75, 9.25), "PeCLR", 100.0),
            "one": arm("of one seed", mean(10.0), "SimCLR", 200.0, seeds=("0",)),
            "none": {"label": "unfinished", "series": "", "x": 0.0, "mean": {}},
        },
        "unfinished": ["none, seed 0"],
        "nothing": {"held_out": {"mean_pose": {"epe_2d": 14.0}, "mean_hand": {}}},
        "comparisons": {
            "held_out": {
                "rotation": {
                    "arm": "PeCLR",
                    "against": "SimCLR",
                    "paper": "57 %",
                    "shown": True,
                    "metrics": {"epe_2d": compared},
                },
                "control": {
                    "arm": "PeCLR",
                    "against": "random",
                    "paper": "",
                    "shown": False,
                    "metrics": {},
                },
            }
        },
        "equivariance": {"rotation": {"rotation": mean(12.5)}},
        "averaged": {
            "held_out": {
                "data": ["rendered hands (held_out)"],
                "over": {"epe_2d": {"all 21 joints of 512 hands": True}, "auc": {"-": False}},
                "trained_on": [],
                "scaled_bone_m": None,
            }
        },
    }


def test_the_page_says_what_flags_changed(results):
    assert "Changed" not in experiment_page.markdown(results, {})
    results["changed"] = {"pretrain.num_steps": 3, "finetune.seed": 1}
    told = "Changed from the recipe: `--config.pretrain.num_steps=3`, `--config.finetune.seed=1`."
    assert told in experiment_page.markdown(results, {}).splitlines()


def test_arms_with_intervals_beside_what_knows_nothing_and_the_paper(results):
    page = experiment_page.markdown(results, {"held_out": "held_out.png"})
    assert "**Data: rendered hands.** resnet18 at 64 px; seeds 0, 1;" in page
    for line in (
        "|  | 2D EPE, px of the view |",
        "| SimCLR | 12.00 ± 1.00 |",
        "| PeCLR | 9.00 ± 0.25 |",
        "| of one seed (1 of 2 seeds) | 10.00 |",
        "| mean pose | 14.00 |",
        "| the paper | 1.5 |",
        "Data: rendered hands (held_out). Means are over all 21 joints of 512 hands.",
        "![Figure 5](held_out.png)",
        "| PeCLR than SimCLR | **25.0 % [20.0, 30.0]** | 57 % |",
        "Not shown, for an arm was not run: 1 of 2 comparisons.",
        "| rotation | 12.5 % |  |",
        "Not on this page, left out or not finished: none (seed 0).",
    ):
        assert line in page.splitlines()


def test_means_over_fewer_joints_are_not_compared_in_silence(results):
    said = results["averaged"]["held_out"]
    said["over"] = {
        "epe_2d": {"all 21 joints of 9 hands": True},
        "pa_epe": {"5 of 21 joints (the fingertips) of 8 hands": False},
    }
    said["trained_on"] = ["the network was trained on them"]
    page = experiment_page.markdown(results, {})
    assert (
        "2D EPE: over all 21 joints of 9 hands. PA-EPE: over 5 of 21 joints (the fingertips) of 8 "
        "hands. **Not all joints are labelled.** Compare it only with means over the same joints. "
        "The paper's numbers may be over all 21. **Note: the network was trained on them.**" in page
    )


def test_what_is_not_apart_is_not_bold(results):
    results["comparisons"]["held_out"]["rotation"]["metrics"]["epe_2d"]["apart"] = False
    assert "| 25.0 % [20.0, 30.0] |" in experiment_page.markdown(results, {})


def labels(panel):
    """Returns the names of lines that have one, which those of seeds have not."""
    names = [line.get_label() for line in panel.lines]
    return [name for name in names if not name.startswith("_")]


def test_bars_curves_or_nothing(results):
    (panel,) = experiment_page.draw(results, "held_out").axes
    assert [bar.get_width() for bar in panel.patches] == [12.0, 9.0, 10.0]
    results["figure"] = "curves"
    (panel,) = experiment_page.draw(results, "held_out").axes
    assert labels(panel) == ["SimCLR", "PeCLR", "mean pose"]
    assert len(panel.lines) == 3 + 2 * 2
    results["figure"] = "none"
    assert experiment_page.draw(results, "held_out") is None


def test_agreement_with_a_detector_is_not_called_an_error(results):
    results["labelled_by"] = {"held_out": "MediaPipe"}
    page = experiment_page.markdown(results, {})
    for line in (
        "|  | 2D agreement with MediaPipe, px of the view |",
        "Not errors: mean distances from what MediaPipe says, which may be wrong.",
        "| distance less by | 2D EPE | paper |",
    ):
        assert line in page.splitlines()
    assert "error less by" not in page.replace("equivariance error", "")


def test_photographs_are_counted_by_their_parts(results):
    sets = {"rooms": {"photographs": 1200, "persons": "one"}}
    results["photographs"] = {"train": {"photographs": 1200, "hands": None, "sets": sets}}
    assert "| train | 1,200 |  | rooms (1,200; one) |" in experiment_page.markdown(results, {})


def over_steps(*labels, level="random"):
    """Returns toy results: what `results.json` holds of arms at 500 and 1,000 steps."""
    arms = {level: arm(level, mean(13.5), "", 0.0)}
    for number, label in enumerate(labels):
        for steps in (500, 1000):
            epe = 12.0 - number - steps / 1000
            point = arm(
                f"{label}, {steps} steps", mean(epe, epe - 0.2, epe + 0.2), label, 1.0 * steps
            )
            arms[f"{label}_{steps}"] = point
    nothing = {"held_out": {"mean_pose": {"epe_2d": 14.0}}}
    return {
        "arms": arms,
        "labelled_by": {"held_out": "MediaPipe"},
        "nothing": nothing,
        "x_label": STEPS,
    }


def test_arms_of_several_experiments_over_steps(tmp_path):
    both = [over_steps("SimCLR", "PeCLR"), over_steps("PeCLR", "ours")]
    figure = experiment_page.over_steps(both, "held_out")
    (panel,) = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in panel.lines}
    assert labels(panel) == ["SimCLR", "PeCLR", "ours", "random", "mean pose"]
    assert list(lines["PeCLR"]) == [10.5, 10.0]  # of the first
    assert panel.get_ylabel() == "2D agreement with MediaPipe,\npx of the view"
    figures.save(figure, tmp_path / "steps.png")
    assert (tmp_path / "steps.png").stat().st_size > 1000
    with pytest.raises(UserError, match="have no pa_epe over steps on 'held_out'"):
        experiment_page.over_steps(both, "held_out", "pa_epe")
    of_labels = over_steps("PeCLR") | {"x_label": "labelled hands used (%)"}
    with pytest.raises(UserError, match="have no epe_2d over steps"):
        experiment_page.over_steps([of_labels], "held_out")


def test_an_arm_of_which_no_seed_has_run_is_named_once(results):
    results["unfinished"] = ["none, seed 0", "none, seed 1", "SimCLR, seed 1"]
    assert (
        "Not on this page, left out or not finished: none, SimCLR (seed 1)."
        in experiment_page.markdown(results, {})
    )
