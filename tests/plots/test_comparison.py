"""A comparison's panels hold what was compared, and say so where nothing was."""

from __future__ import annotations

from gluonbook.plots.comparison import draw_comparison
from matplotlib.colors import same_color
import numpy as np

NOTHING = {
    **{"training": {}, "differences": {}, "tolerance": ("allowed", 1e-3), "errors": {"both": {}}},
    **{"tolerances": {"tolerance": {}}, "speeds": {"training": {}}},
}


def test_what_was_not_compared_leaves_its_panel_empty():
    axes = draw_comparison("a title", **NOTHING).axes
    assert len(axes) == 4 and not any(each.lines or each.patches for each in axes)
    told = [[text.get_text() for text in each.texts] for each in axes]
    assert told == [["not compared"]] * 3 + [["not measured"]]
    assert not any(each.axison for each in axes)


def test_curves_bars_and_tolerances():
    figure = draw_comparison(
        "a title",
        training={"first": ([4.0, 2.0], [0.5, 1.0]), "second": ([3.0, 1.0], [0.0, 1.0])},
        differences={"float64": [0.0, 1e-9], "float32": [0.0, 1e-5, 1e-2]},
        tolerance=("allowed in float64", 1e-3),
        errors={"float64": {"loss": 1e-9, "outputs": 0.0}, "float32": {"loss": 1e-4, "outputs": 1}},
        tolerances={"of float64": {"loss": 1e-8, "outputs": 1e-8}, "of float32": {"outputs": 1e-2}},
        speeds={
            "training": {"one": 50.0, "other": 20.0},
            "inference": {"one": 100.0, "other": 9.0},
        },
        speed_title="speed, batches of 32",
    )
    loss, apart, errors, speed, accuracy = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[4.0, 2.0], [3.0, 1.0]]
    assert [list(line.get_ydata()) for line in accuracy.lines] == [[0.5, 0.75], [0.0, 0.5]]
    labels = [line.get_label() for line in apart.lines]
    assert labels == ["allowed in float64", "float64", "float32"]
    assert list(apart.lines[0].get_ydata()) == [1e-3, 1e-3]
    assert same_color(apart.lines[0].get_color(), apart.lines[1].get_color())  # which it judges
    assert [list(line.get_ydata()) for line in apart.lines[1:]] == [[0, 1e-9], [0, 1e-5, 1e-2]]
    assert [bar.get_height() for bar in errors.patches] == [1e-9, 0, 1e-4, 1]
    assert [text.get_text() for text in errors.texts] == ["", "0", "", ""]
    for axes in (apart, errors):
        # 0 at the very bottom, and above the axis equal steps for equal factors.
        ticks = axes.transData.transform([(1, y) for y in (0, 1e-12, 1e-8, 1e-4)])[:, 1]
        bottom, _ = axes.transAxes.transform((0, 0))[::-1]
        np.testing.assert_allclose(ticks[0], bottom)
        np.testing.assert_allclose(ticks[2] - ticks[1], ticks[3] - ticks[2])
        assert 0 in axes.get_yticks() and max(axes.get_yticks()) == 1
    named = [each.get_xlabel() for each in (loss, apart)] + [
        each.get_ylabel() for each in (loss, accuracy, apart, errors, speed)
    ]
    assert named == [
        *("step", "step", "loss of the batch, nats (solid)"),
        *("accuracy, mean of five steps (dashed)", "relative difference"),
        *("difference / greatest value", "images a second"),
    ]
    assert [loss.get_title(), speed.get_title()] == [
        *("training on the same batches, float64", "speed, batches of 32"),
    ]
    limits = [
        [tuple(map(tuple, line)) for line in each.get_segments()] for each in errors.collections
    ]
    assert limits == [
        [((-0.45, 1e-8), (0.45, 1e-8)), ((0.55, 1e-8), (1.45, 1e-8))],
        [((0.55, 1e-2), (1.45, 1e-2))],
    ]
    assert [bar.get_height() for bar in speed.patches] == [50, 20, 100, 9]
    assert speed.get_ylim()[1] == 120
    assert [label.get_text() for label in speed.get_xticklabels()] == ["one", "other"]
