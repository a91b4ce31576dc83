"""Each script, run in process on 48 real images."""

from __future__ import annotations

import json
import re
import runpy
import sys

from gluonbook.recipes import RECIPES
from gluonbook.summary import num_parameters
import mxnet as mx
import numpy as np
import pytest

from ..conftest import CHAPTERS

#: Rows of the layer table that the book prints for each section.
ROWS = {
    "lenet": 7,
    "alexnet": 13,
    "vgg": 10,
    "nin": 10,
    "googlenet": 6,
    "resnet": 10,
    "densenet": 15,
}


def test_every_section_has_its_script_and_every_script_a_section():
    scripts = {path.stem for path in CHAPTERS.glob("*.py")}
    assert set(RECIPES) <= scripts


#: Every section as the book has it, and the small ones once more in the other form.
RUNS = [(section, []) for section in RECIPES] + [
    (section, ["--no-hybridize", "--edition", "pytorch"])
    for section in RECIPES
    if section not in ("alexnet", "vgg")
]


@pytest.mark.parametrize(("section", "options"), RUNS)
def test_a_run_prints_the_books_lines_and_leaves_its_folder(
    section, options, tiny, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    script = CHAPTERS / f"{section}.py"
    argv = ["--epochs", "1", "--batch-size", "32", "--seed", "0", *options]
    monkeypatch.setattr(sys, "argv", [str(script), *argv])
    net = runpy.run_path(str(script))["net"]

    lines = capsys.readouterr().out.splitlines()
    table, training = lines[: ROWS[section]], lines[ROWS[section] :]
    for line in table:
        assert re.fullmatch(r"[a-z]+\d+ output shape:\t \(1, .*\)", line)
    assert table[-1].endswith("output shape:\t (1, 10)")
    assert training[0] in ("training on cpu(0)", "training on gpu(0)")
    assert re.fullmatch(r"epoch 1, loss .*, train acc .*, test acc .*, time .* sec", training[1])
    assert len(training) == 2

    [folder] = (tmp_path / "runs").iterdir()
    assert folder.name.startswith(f"{section}-")
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [".lock", "README.txt", "config.json", "curve.png", "history.csv", "layers.txt"]
        + ["checkpoint-2-0.safetensors"]
        + [f"{section}{end}" for end in ("-0000.params", "-symbol.json", ".params")]
    )
    told = (folder / "README.txt").read_text().replace("checkpoint-E-B", "checkpoint-2-0")
    assert all(path.name in told for path in folder.glob("[!.R]*"))
    config = json.loads((folder / "config.json").read_text())
    assert config["options"]["batch_size"] == 32 and config["options"]["lr"] == RECIPES[section].lr
    assert (folder / "history.csv").read_text().count("\n") == 2
    assert f"{num_parameters(net):,}" in (folder / "layers.txt").read_text().splitlines()[-1]

    exported = mx.gluon.SymbolBlock.imports(
        str(folder / f"{section}-symbol.json"), ["data"], str(folder / f"{section}-0000.params")
    )
    X = mx.nd.random.uniform(shape=(2, 1, RECIPES[section].size, RECIPES[section].size))
    edition = config["options"]["edition"]
    saved = RECIPES[section].net(edition)
    saved.load_parameters(str(folder / f"{section}.params"))
    for other in (exported, saved):
        np.testing.assert_allclose(other(X).asnumpy(), net(X).asnumpy(), rtol=1e-4, atol=1e-5)


def test_the_sizes_of_all_nets(capsys):
    runpy.run_path(str(CHAPTERS / "parameters.py"))
    rows = {line.split("  ")[0]: line.split() for line in capsys.readouterr().out.splitlines()[1:]}
    assert len(rows) == len(RECIPES)
    # LeNet's dense layers hold 41,854 of 44,426 parameters; its sums are counted in test_summary.
    assert rows["LeNet"][1:] == ["28", "44,426", "281,640", "94%"]
    assert rows["NiN"][-1] == "0%" and rows["ResNet-18"][2] == "11,178,378"
