"""``python -m gluonbook.history``, on runs that this test writes."""

from __future__ import annotations

import sys

from gluonbook import history as command
from gluonbook.runs.history import History
from gluonbook.system.errors import Failure
from gluonbook.system.ownership import NotOurs
from gluonbook.training.epochs import Epoch
import pytest


@pytest.fixture(autouse=True)
def _excepthook(monkeypatch):
    monkeypatch.setattr("sys.excepthook", sys.__excepthook__)


def run(folder, *losses):
    folder.mkdir()
    history = History(folder / "history.csv")
    history.write_csv(folder / "history.csv")
    history.extend(Epoch(i, loss, 0.5, 0.25, 1.0) for i, loss in enumerate(losses, 1))
    return str(folder)


def test_runs_are_listed_and_drawn_over_one_another(tmp_path, capsys):
    first, second = run(tmp_path / "a", 2.0, 1.5), run(tmp_path / "longer", 1.75)
    out = tmp_path / "both.png"
    assert command.main([first, f"{second}/history.csv", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == first and "epoch 2, loss 1.5000" in lines[0]
    assert "epoch 1, loss 1.7500, train acc 0.500, test acc 0.250" in lines[1]
    assert out.read_bytes().startswith(b"\x89PNG\r\n")


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(Failure, match="none is missing"):
        command.main([str(tmp_path / "none")])
    with pytest.raises(Failure, match="has no epoch yet"):
        command.main([run(tmp_path / "new")])


def test_no_file_of_a_users_is_written_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = run(tmp_path / "a", 2.0, 1.5)
    (tmp_path / "history.png").write_text("mine")
    for argv in ([first], [first, "--out", f"{first}/../history.png"], ["nowhere"]):
        with pytest.raises(NotOurs, match="history.png is there already, and does not say"):
            command.main(argv)
    assert (tmp_path / "history.png").read_text() == "mine"
    (tmp_path / "history.png").unlink()
    assert command.main([first]) == command.main([first]) == 0
