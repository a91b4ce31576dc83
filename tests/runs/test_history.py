"""A history's files read back as what was put in."""

from __future__ import annotations

import csv
import json
import struct

from gluonbook.runs.history import History, HistoryError
from gluonbook.training.epochs import Epoch, mean_last
import pytest

EPOCHS = [Epoch(1, 1.25, 0.5, 0.625, 3.5), Epoch(2, 0.5, 0.75, 0.8125, 3.25)]


@pytest.fixture
def history():
    history = History()
    for epoch in EPOCHS:
        history.append(epoch)
    return history


def read_csv(path):
    with open(path, newline="") as file:
        return [tuple(float(value) for value in row.values()) for row in csv.DictReader(file)]


def test_prints_the_books_line():
    assert (
        str(Epoch(1, 0.48561, 0.8312, 0.8858, 60.24))
        == "epoch 1, loss 0.4856, train acc 0.831, test acc 0.886, time 60.2 sec"
    )


def test_csv_is_written_as_each_epoch_ends(tmp_path):
    path = tmp_path / "history.csv"
    history = History(path)
    assert not path.exists()
    for i, epoch in enumerate(EPOCHS, 1):
        history.append(epoch)
        assert read_csv(path) == EPOCHS[:i]


def test_csv_and_json_hold_the_epochs(history, tmp_path):
    history.write_csv(tmp_path / "h.csv")
    history.write_json(tmp_path / "h.json")
    assert read_csv(tmp_path / "h.csv") == EPOCHS == list(history)
    assert [tuple(row.values()) for row in json.loads((tmp_path / "h.json").read_text())] == EPOCHS


def test_the_picture_is_a_png_with_something_on_it(history, tmp_path):
    import matplotlib.image

    history.draw(tmp_path / "curve.png", "a title")
    header = (tmp_path / "curve.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:]) == (960, 384)
    assert matplotlib.image.imread(tmp_path / "curve.png").std() > 0.05


def test_in_a_notebook_a_history_is_its_curves_and_else_one_line():
    history = History()
    assert history._repr_png_() is None and repr(history) == "<History of 0 epochs>"
    history.extend([Epoch(1, 0.5, 0.8, 0.7, 1.0), Epoch(2, 0.25, 0.9, 0.75, 1.0)])
    assert history._repr_png_().startswith(b"\x89PNG\r\n")
    assert repr(history) == f"<History of 2 epochs, the last: {history[1]}>"


def test_the_mean_of_the_last_epochs(history):
    other = History()
    other.extend([Epoch(1, 2.2, 0.2, 0.1, 5.0), Epoch(2, 1.5, 0.25, 0.1875, 4.75)])
    assert mean_last([history, other]) == (2, 1.0, 0.5, 0.5, 4.0)
    assert mean_last([history]) == EPOCHS[-1]


def test_what_is_written_is_read_back(tmp_path):
    history = History(tmp_path / "history.csv")
    history.append(Epoch(1, 2.302585, 0.1, 0.12, 3.5))
    history.append(Epoch(2, 0.1 + 0.2, 0.9, 0.87, 3.25))
    history.append(Epoch(3, -0.5, 1.0, 0.0, 0.0))  # of a loss of one's own
    assert History.read(tmp_path / "history.csv").epochs == history.epochs


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"epoch,loss\n1,2\n",
        b"epoch,loss,train_acc,test_acc,seconds\n1,2,3,4\n",
        b"epoch,loss,train_acc,test_acc,seconds\n2,1,1,1,1\n",
        b"epoch,loss,train_acc,test_acc,seconds\n1,nan,1,1,1\n",
        b"epoch,loss,train_acc,test_acc,seconds\n1,x,1,1,1\n",
        b"epoch,loss,train_acc,test_acc,seconds\n1,1,7.0,1,1\n",
        b"epoch,loss,train_acc,test_acc,seconds\n1,1,1,1.0001,1\n",
        b"epoch,loss,train_acc,test_acc,seconds\n1,1,-0.5,1,1\n",
        b"epoch,loss,train_acc,test_acc,seconds\n1,1,1,-0.5,1\n",
        b"epoch,loss,train_acc,test_acc,seconds\n1,1,1,1,-3\n",
        b"epoch,loss,train_acc,test_acc,seconds\n1,1,1,1,1\n2,1,1,7,1\n",
        b"\xff\xfe\x00",
    ],
)
def test_a_damaged_history_is_refused(content, tmp_path):
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(
        HistoryError, match="history.csv is not the history of a run, or is damaged"
    ):
        History.read(tmp_path / "history.csv")
