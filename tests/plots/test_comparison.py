"""A comparison's panels hold what was compared, and stay empty where nothing was."""

from __future__ import annotations

from gluonbook.plots.comparison import draw_comparison

NOTHING = {
    **{"training": {}, "differences": {}, "tolerance": 1e-3, "errors": {"both": {}}},
    **{"tolerances": {"tolerance": {}}, "speeds": {"training": {}}},
}


def test_what_was_not_compared_leaves_its_panel_empty():
    axes = draw_comparison("a title", **NOTHING).axes
    assert len(axes) == 4 and not any(each.lines or each.patches for each in axes)


def test_curves_bars_and_tolerances():
    figure = draw_comparison(
        "a title",
        training={"first": ([4.0, 2.0], [0.5, 1.0]), "second": ([3.0, 1.0], [0.0, 1.0])},
        differences={"float32": [0.0, 1e-5]},
        tolerance=1e-3,
        errors={"float64": {"loss": 1e-9, "outputs": 0.0}, "float32": {"loss": 1e-4, "outputs": 1}},
        tolerances={"of float64": {"loss": 1e-8, "outputs": 1e-8}, "of float32": {"outputs": 1e-2}},
        speeds={
            "training": {"one": 50.0, "other": 20.0},
            "inference": {"one": 100.0, "other": 9.0},
        },
    )
    loss, apart, errors, speed, accuracy = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[4.0, 2.0], [3.0, 1.0]]
    assert [list(line.get_ydata()) for line in accuracy.lines] == [[0.5, 0.75], [0.0, 0.5]]
    assert list(apart.lines[1].get_ydata()) == [1e-16, 1e-5]  # a logarithm of 0 has no place
    assert [bar.get_height() for bar in errors.patches] == [1e-9, 1e-16, 1e-4, 1]
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
