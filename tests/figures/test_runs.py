"""Several runs together, against means taken by hand."""

from __future__ import annotations

from gluonbook.figures.runs import draw_runs, mean_last
from gluonbook.training.history import Epoch, History


def history(*epochs):
    made = History()
    made.extend(epochs)
    return made


FIRST = history(Epoch(1, 2.0, 0.2, 0.1, 5.0), Epoch(2, 1.0, 0.5, 0.4, 6.0))
SECOND = history(Epoch(1, 2.2, 0.2, 0.1, 5.0), Epoch(2, 2.0, 0.7, 0.5, 8.0))


def test_the_mean_of_the_last_epochs():
    assert mean_last([FIRST, SECOND]) == (2, 1.5, 0.6, 0.45, 7.0)
    assert mean_last([FIRST]) == FIRST[-1]


def test_each_name_has_one_color_and_one_entry_in_the_legend():
    figure = draw_runs({"a": [FIRST, SECOND], "b": [FIRST]})
    loss, accuracy = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[2.0, 1.0], [2.2, 2.0], [2.0, 1.0]]
    assert [list(line.get_ydata()) for line in accuracy.lines][1] == [0.1, 0.5]
    colors = [line.get_color() for line in loss.lines]
    assert colors[0] == colors[1] != colors[2]
    assert [text.get_text() for text in accuracy.get_legend().get_texts()] == ["a", "b"]
