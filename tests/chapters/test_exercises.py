"""Each exercise's script, run in process on 48 real images."""

from __future__ import annotations

import json
import runpy
import sys

from gluonbook.zoo import densenet_family, resnet_family
import pytest

from ..conftest import CHAPTERS

SHORT = ["--limit", "8", "--epochs", "1", "--batch-size", "4"]
TRAINING, HELD_OUT = [*SHORT, "--limit-test", "8"], [*SHORT, "--hold-out", "8"]
#: Options that make each script short, and the number of rows of its table.
SCRIPTS = {
    "densenet_against_resnet": ([*TRAINING, "--size", "32"], 4),
    "densenet_table1": ([*TRAINING, "--size", "32"], 1),
    "inception_successors": ([*TRAINING, "--size", "96"], 5),
    "moved_images": ([*HELD_OUT, "--size", "32"], 2),
    "net_sizes": (["--batch-size", "4"], 7),
    "nin_one_conv": ([*TRAINING, "--size", "96", "--seeds", "2"], 3),
    "resnet_preactivation": ([*TRAINING, "--size", "32", "--depth", "34"], 4),
    "resnet_table1": ([*TRAINING, "--size", "32"], 2),
    "small_images": ([*HELD_OUT, "--size", "32"], 4),
    "tuning": ([*HELD_OUT, "--size", "32", "--seeds", "1"], 6),
}


def test_every_script_is_tried():
    files = {path.stem for path in (CHAPTERS / "exercises").glob("*.py")}
    assert files == {*SCRIPTS, "trial"}  # which the others share


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_exercise_answers_with_a_table_and_a_picture(name, tiny, monkeypatch, tmp_path, capsys):
    options, num_rows = SCRIPTS[name]
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "argv", [name, *options, "--out", str(tmp_path / "out")])
    for table, kept in ((resnet_family.TABLE_1, (18, 34)), (densenet_family.TABLE_1, (121,))):
        for depth in set(table) - set(kept):
            monkeypatch.delitem(table, depth)

    monkeypatch.syspath_prepend(str(CHAPTERS / "exercises"))
    runpy.run_path(str(CHAPTERS / "exercises" / f"{name}.py"))

    told = (tmp_path / "out" / f"{name}.md").read_text()
    assert told in capsys.readouterr().out
    rows = [line.split(" | ") for line in told.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + num_rows and len({len(row) for row in rows}) == 1
    answer = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    assert len(answer["rows"]) == num_rows and "nan" not in told
    assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_the_sizes_of_all_nets(tiny, monkeypatch, tmp_path):
    """By the name that earlier READMEs gave. LeNet's dense layers hold 41,854 of its parameters."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "argv", ["parameters.py", "--out", str(tmp_path)])
    runpy.run_path(str(CHAPTERS / "parameters.py"))
    answer = json.loads((tmp_path / "net_sizes.json").read_text())
    rows = {row["net"]: row for row in answer["rows"]}
    assert rows["LeNet"]["parameters"] == 44_426
    assert rows["LeNet"]["in dense layers"] == "94.2%"  # 41,854 of 44,426
    assert rows["LeNet"]["multiply-adds, millions"] == 0.28164
    assert rows["NiN"]["in convolutions"] == "100.0%"
    assert rows["ResNet-18"]["parameters"] == 11_178_378
