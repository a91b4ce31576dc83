"""What chapters print and show when they run as notebooks, and what is kept of it for the site."""

from __future__ import annotations

import base64
import importlib
from pathlib import Path
import re
import shlex
import shutil
import sys

from gluonbook.recipes import QUICK_LOOKS, RECIPES
import jupytext
import nbformat
import pytest

from ..conftest import CHAPTERS

ROOT = Path(__file__).parents[2]
KEPT = sorted((ROOT / "results" / "chapters").glob("*.ipynb"))
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def record_chapters(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("record_chapters")


def code_of(section):
    cells = jupytext.read(CHAPTERS / f"{section}.py").cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def pictures(cell):
    shown = [output for output in cell.outputs if output.output_type == "display_data"]
    return [base64.b64decode(output.data["image/png"]) for output in shown]


def test_lenet_is_recorded():
    assert "lenet" in {path.stem for path in KEPT} <= set(RECIPES)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_recording_is_of_the_chapters_code(path):
    notebook = nbformat.read(path, as_version=4)
    assert [cell.source for cell in notebook.cells] == code_of(path.stem)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_recording_says_how_it_was_made_and_shows_what_came_out(path):
    notebook = nbformat.read(path, as_version=4)
    facts = notebook.metadata["gluonbook"]
    assert facts["section"] == path.stem and facts["minutes"] > 0
    assert facts["machine"]["processor"] and facts["versions"]["mxnet"]
    assert re.fullmatch(r"[0-9a-f]{7,}", facts["commit"])  # no + of changed code
    *_, table, training, shown = notebook.cells
    assert printed(table).splitlines()[-1].endswith("output shape:\t (1, 10)")
    options = shlex.split(facts["options"])
    epochs = RECIPES[path.stem].num_epochs
    if "--epochs" in options:
        epochs = int(options[options.index("--epochs") + 1])
    lines = [line for line in printed(training).splitlines() if line.startswith("epoch ")]
    assert [line.partition(",")[0] for line in lines] == [
        f"epoch {epoch}" for epoch in range(1, epochs + 1)
    ]
    assert [picture[:8] for picture in pictures(shown)] == [PNG, PNG]


def test_what_is_kept_of_a_cell(record_chapters):
    new = nbformat.v4.new_output
    cell = nbformat.v4.new_code_cell("x")
    cell.outputs = [
        new("stream", name="stdout", text="one\n"),
        new("stream", name="stderr", text="where it is\n"),
        new("display_data", data={"image/png": "AAAA", "text/plain": "<Image>"}),
        new("stream", name="stdout", text="two\n"),
        new("execute_result", data={"image/png": "BBBB", "text/plain": "<History>"}),
    ]
    assert record_chapters.kept_outputs(cell) == [
        new("stream", name="stdout", text="one\ntwo\n"),
        new("display_data", data={"image/png": "AAAA"}),
    ]


def test_the_options_of_a_quick_look_of_a_full_run_and_of_ones_own(record_chapters):
    options_of = record_chapters.options_of
    quick = [*QUICK_LOOKS["resnet"].split(), "--seed", "3"]
    assert options_of("resnet", False, None, 3) == quick
    assert options_of("resnet", True, None, 3) == ["--seed", "3"]
    assert options_of("nin", False, "--epochs 2", 1) == ["--epochs", "2", "--seed", "1"]
    with pytest.raises(SystemExit, match="quick look of nin trains by a recipe"):
        options_of("nin", False, None, 1)


def lenet_run_in(folder, run):
    """In place of a chapter that trained for hours: its run, and no cells."""
    shutil.copytree(run, folder / "runs" / run.name)
    return nbformat.v4.new_notebook()


def test_a_chapter_is_run_and_recorded(
    record_chapters, dataset, lenet_run, tmp_path, monkeypatch, capsys
):
    options = "--limit 32 --limit-test 16 --batch-size 16 --epochs 2 --device cpu --data"
    argv = ["--sections", "lenet", "--options", f"{options} {dataset.folder}"]
    command = ["benchmarks/record_chapters.py", *argv, "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    record_chapters.main()
    assert capsys.readouterr().out.startswith("LeNet: ")
    [path] = (tmp_path / "chapters").iterdir()
    notebook = nbformat.read(path, as_version=4)
    assert [cell.source for cell in notebook.cells] == code_of("lenet")
    facts = notebook.metadata["gluonbook"]
    assert facts["options"].startswith(options) and facts["options"].endswith(" --seed 1")
    assert facts["device"] == "cpu(0)"
    lines = printed(notebook.cells[-2]).splitlines()
    assert lines[0] == "training on cpu(0)" and len(lines) == 3
    assert [picture[:8] for picture in pictures(notebook.cells[-1])] == [PNG, PNG]
    assert [cell for cell in notebook.cells[:-1] if pictures(cell)] == []

    # Of a training in full the run's own figures are kept too.
    monkeypatch.setattr(
        record_chapters, "execute", lambda *given: lenet_run_in(given[2], lenet_run)
    )
    record_chapters.record("lenet", ["--seed", "1"], tmp_path / "reproduce")
    kept = {path.name.split("-")[-1] for path in (tmp_path / "reproduce").iterdir()}
    assert kept == {"history.csv", "config.json", "curve.png"}

    # It is written over, as what this package wrote, and a user's file is not.
    record_chapters.results.refuse_foreign([path])
    path.write_text("mine")
    with pytest.raises(SystemExit, match="lenet.ipynb is there already"):
        record_chapters.main()
