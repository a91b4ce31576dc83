"""The options of an exercise's script, and its answer on disk."""

from __future__ import annotations

import json
import sys

from gluonbook.cli.exercise import Exercise
from gluonbook.system.errors import Failure
from gluonbook.system.ownership import NotOurs
from matplotlib.figure import Figure
import mxnet as mx
import pytest

DEFAULTS = {"limit": 4000, "epochs": 3, "batch_size": 32, "size": 96, "seeds": 2}


@pytest.fixture(autouse=True)
def _excepthook(monkeypatch):
    monkeypatch.setattr("sys.excepthook", sys.__excepthook__)


def test_defaults_and_what_a_training_takes_of_them():
    exercise = Exercise("name", "A question.", [], **DEFAULTS)
    assert list(exercise.seeds) == [1, 2] and exercise.ctx == mx.cpu()
    assert exercise.training == {
        **{"num_epochs": 3, "batch_size": 32, "size": 96, "ctx": mx.cpu()},
        "data": {"root": None, "limit": 4000, "limit_test": 1000},
    }
    whole = Exercise("name", "A question.", ["--limit", "60000", "--seeds", "1"], **DEFAULTS)
    assert whole.training["data"]["limit_test"] == 10_000 and list(whole.seeds) == [1]
    held_out = Exercise("name", "A question.", ["--hold-out", "9"], hold_out=50, **DEFAULTS)
    assert held_out.training["data"] == {"root": None, "limit": 4000, "hold_out": 9}


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--limit", "0"], "argument --limit: must be a whole number of at least 1, not '0'"),
        (["--depth", "3"], "unrecognized arguments: --depth 3"),
        (["--data", "/nowhere"], "/nowhere does not hold the four files"),
    ],
)
def test_a_wrong_option_ends_in_one_sentence(argv, told, capsys):
    with pytest.raises(SystemExit) as exit_:
        Exercise("name", "A question.", argv, **DEFAULTS)
    error = capsys.readouterr().err
    assert exit_.value.code == 2 and error.startswith("error: ") and told in error


def test_an_answer_is_a_table_with_its_command_and_a_picture(tmp_path, capsys):
    argv = ["--seeds", "1", "--out", str(tmp_path / "new" / "out")]
    exercise = Exercise("name", "A question.", argv, **DEFAULTS)
    exercise.answer("Title", ["net", "size", "loss"], [["a", 1234, 0.5]], Figure())
    text = (tmp_path / "new" / "out" / "name.md").read_text()
    assert text.startswith("# Title\n\n| net | size | loss |\n| --- | ---: | ---: |\n")
    assert "| a | 1,234 | 0.500 |\n" in text and text in capsys.readouterr().out
    assert f"`python chapters/exercises/name.py --seeds 1 --out {argv[-1]}`" in text
    answer = json.loads((tmp_path / "new" / "out" / "name.json").read_text())
    assert answer["rows"] == [{"net": "a", "size": 1234, "loss": 0.5}]
    assert (tmp_path / "new" / "out" / "name.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", ["md", "json", "png"])
def test_no_file_of_a_users_is_written_over(tmp_path, kind):
    options = ["--out", str(tmp_path)]
    for _ in range(2):
        exercise = Exercise("name", "A question.", options, **DEFAULTS)
        exercise.answer("Title", ["net"], [["a"]], Figure())
    (tmp_path / f"name.{kind}").write_text("mine")
    with pytest.raises(NotOurs, match=f"name.{kind} is there already, and does not say"):
        Exercise("name", "A question.", options, **DEFAULTS)  # before anything is trained


def test_too_little_memory_is_told_with_the_options_that_there_are(tmp_path, capsys):
    for defaults, told in (
        (DEFAULTS, "try a smaller --batch-size or --size"),
        ({"size": 96}, "try a smaller --size"),
        ({"depth": 5}, "end other programs"),
    ):
        Exercise("name", "A question.", [], **defaults)
        sys.excepthook(MemoryError, MemoryError("why"), None)
        assert capsys.readouterr().err == f"error: not enough memory (why): {told}\n"


def test_an_out_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    exercise = Exercise("name", "A question.", ["--out", str(tmp_path / "file")], **DEFAULTS)
    with pytest.raises(Failure, match=r"--out .*file cannot be made \(File exists\); name another"):
        exercise.answer("Title", ["net"], [["a"]])
