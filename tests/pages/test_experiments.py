"""What experiments come to, drawn."""

from peclr_jax import pages
from peclr_jax.hands.scores import Interval


def test_bars_have_a_panel_a_quantity_and_a_bar_an_arm():
    arms = {"random": Interval(4.0, 3.5, 4.5), "PeCLR": Interval(2.0, None, None)}
    figure = pages.bars({"2D EPE, px": (arms, {"mean pose": 5.0}), "PA-EPE, cm": (arms, {})})
    first, second = figure.axes
    assert [bar.get_width() for bar in first.patches] == [4.0, 2.0]
    assert [tick.get_text() for tick in first.get_yticklabels()] == ["random", "PeCLR"]
    assert first.get_xlabel() == "2D EPE, px"
    assert first.yaxis_inverted()  # the first arm on top
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["mean pose"]
    assert second.get_legend() is None


def test_curves_have_a_line_a_series_and_a_band_where_there_are_intervals():
    series = {
        "PeCLR": [(100.0, 4.0, 3.0, 5.0), (200.0, 2.0, 1.0, 3.0)],
        "SimCLR": [(100.0, 4.0, None, None), (200.0, 3.0, None, None)],
    }
    figure = pages.curves({"2D EPE, px": series}, x_label="steps")
    (panel,) = figure.axes
    assert [list(line.get_ydata()) for line in panel.lines] == [[4.0, 2.0], [4.0, 3.0]]
    assert len(panel.collections) == 2  # the band, and a line at each point


def test_the_interval_of_a_single_point_is_seen():
    figure = pages.curves({"2D EPE, px": {"one": [(20.0, 4.0, 3.0, 5.0)]}}, x_label="%")
    (segment,) = figure.axes[0].collections[1].get_segments()
    assert segment.tolist() == [[20.0, 3.0], [20.0, 5.0]]


def test_labels_of_curves_are_in_their_place():
    figure = pages.curves({"2D EPE, px": {"one": [(20.0, 4.0, 3.0, 5.0)]}}, x_label="steps")
    (panel,) = figure.axes
    assert panel.get_xlabel() == "steps"
