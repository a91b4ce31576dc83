"""Curves of one run and of several hold the figures that they were given."""

from __future__ import annotations

from gluonbook.plots.curves import draw_history, draw_runs
from gluonbook.runs.history import History
from gluonbook.training.epochs import Epoch

FIRST = [Epoch(1, 2.0, 0.2, 0.1, 5.0), Epoch(2, 1.0, 0.5, 0.4, 6.0)]
SECOND = [Epoch(1, 2.2, 0.2, 0.1, 5.0), Epoch(2, 2.0, 0.7, 0.5, 8.0)]


def heights(axes):
    return [list(line.get_ydata()) for line in axes.lines]


def test_a_history_is_its_loss_and_both_accuracies():
    history = History()
    history.extend(FIRST)
    loss, accuracy = draw_history(history).axes
    assert heights(loss) == [[2.0, 1.0]] and heights(accuracy) == [[0.2, 0.5], [0.1, 0.4]]
    assert {tuple(line.get_xdata()) for line in (*loss.lines, *accuracy.lines)} == {(1, 2)}
    assert [heights(axes) for axes in draw_history([]).axes] == [[[]], [[], []]]


def test_each_name_has_one_color_and_one_entry_in_the_legend():
    figure = draw_runs({"a": [FIRST, SECOND], "b": [FIRST]})
    loss, accuracy = figure.axes
    assert heights(loss) == [[2.0, 1.0], [2.2, 2.0], [2.0, 1.0]]
    assert heights(accuracy)[1] == [0.1, 0.5]
    colors = [line.get_color() for line in loss.lines]
    assert colors[0] == colors[1] != colors[2]
    assert [text.get_text() for text in accuracy.get_legend().get_texts()] == ["a", "b"]
