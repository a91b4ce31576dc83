"""How far a training is: told on a terminal by a bar, and in a log by a line now and then."""

from __future__ import annotations

import io
from types import SimpleNamespace

from gluonbook.system import progress
import pytest
from tqdm import tqdm


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a batch's `seconds`."""
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(progress, "time", clock)
    return clock


def passed(clock, seconds, *arguments):
    """What comes out of 10 batches that take so many seconds each."""
    out = []
    for batch in progress.watched(iter(range(10)), *arguments):
        out.append(batch)
        clock.now += seconds
    return out


def test_a_long_epoch_tells_every_two_minutes_where_it_is(clock, capsys):
    assert passed(clock, 50, "epoch 1/5, training", 10) == list(range(10))
    told = [f"epoch 1/5, training: batch {done} of 10 is done" for done in (3, 6, 9)]
    captured = capsys.readouterr()
    assert captured.err.splitlines() == told and captured.out == ""


def test_a_short_epoch_says_nothing(clock, capsys):
    assert passed(clock, 11.9, "epoch 1/5, training", 10) == list(range(10))
    assert capsys.readouterr().err == ""


def test_a_resumed_epoch_counts_from_where_it_was_and_may_have_no_known_end(clock, capsys):
    passed(clock, 15, "epoch 2/5, training", None, 1_000)
    assert capsys.readouterr().err == "epoch 2/5, training: batch 1,008 is done\n"


def test_on_a_terminal_there_is_a_bar(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    bar = progress.watched(iter(range(3)), "epoch 1/5, testing", 3)
    assert isinstance(bar, tqdm) and list(bar) == [0, 1, 2]
    assert "epoch 1/5, testing" in terminal.getvalue()


def test_without_standard_error_batches_pass(clock, monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    assert passed(clock, 500, "epoch 1/5, training", 10) == list(range(10))
