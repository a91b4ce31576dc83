"""Each script, run in process on 48 real images."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess

from gluonbook.recipes import RECIPES
from gluonbook.summary import num_parameters
import jupytext
import mxnet as mx
from nbclient import NotebookClient
import numpy as np
import pytest

from ..conftest import CHAPTERS, run_chapter

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


#: Smaller than the book's 224, at which these nets' files take hundreds of MB.
SMALLER = {"alexnet": 96, "vgg": 64}


@pytest.mark.parametrize("section", RECIPES)
def test_a_run_prints_the_books_lines_and_leaves_its_folder(
    section, tiny, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    size = SMALLER.get(section, RECIPES[section].size)
    argv = ["--epochs", "1", "--batch-size", "32", "--seed", "0", "--size", str(size)]
    net = run_chapter(section, *argv)["net"]

    lines = capsys.readouterr().out.splitlines()
    table = [line for line in lines if " output shape:\t" in line]
    first = lines.index(table[0])
    training = lines[first + len(table) :]
    assert lines[first : first + ROWS[section]] == table
    for line in table:
        assert re.fullmatch(r"[a-z]+\d+ output shape:\t \(1, .*\)", line)
    assert table[-1].endswith("output shape:\t (1, 10)")
    assert training[0] in ("training on cpu(0)", "training on gpu(0)")
    assert re.fullmatch(r"epoch 1, loss .*, train acc .*, test acc .*, time .* sec", training[1])
    assert len(training) == 2

    [folder] = (tmp_path / "runs").iterdir()
    assert folder.name.startswith(f"{section}-")
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [".lock", "README.txt", "SHA256SUMS", "config.json", "curve.png", "history.csv"]
        + [".SHA256SUMS.lock", "checkpoint-2-0.safetensors", "layers.txt", "predictions.png"]
        + [f"{section}{end}" for end in ("-0000.params", "-symbol.json", ".params")]
    )
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    told = (folder / "README.txt").read_text().replace("checkpoint-E-B", "checkpoint-2-0")
    assert all(path.name in told for path in folder.glob("[!.R]*"))
    config = json.loads((folder / "config.json").read_text())
    assert config["options"]["batch_size"] == 32 and config["options"]["lr"] == RECIPES[section].lr
    assert (folder / "history.csv").read_text().count("\n") == 2
    assert f"{num_parameters(net):,}" in (folder / "layers.txt").read_text().splitlines()[-1]

    exported = mx.gluon.SymbolBlock.imports(
        str(folder / f"{section}-symbol.json"), ["data"], str(folder / f"{section}-0000.params")
    )
    X = mx.nd.random.uniform(shape=(2, 1, size, size))
    saved = RECIPES[section].net()
    saved.load_parameters(str(folder / f"{section}.params"))
    for other in (exported, saved):
        np.testing.assert_allclose(other(X).asnumpy(), net(X).asnumpy(), rtol=1e-4, atol=1e-5)


#: Images as small as the section's net takes.
SIZES = {"lenet": 28, "alexnet": 96, "vgg": 32, "nin": 96, "googlenet": 32}


#: Sections whose notebook is quick; that of another runs the same cells as its script.
QUICK = ("lenet", "resnet")


@pytest.mark.parametrize(
    "section",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in RECIPES],
)
def test_a_chapter_runs_as_a_notebook(section, dataset, tmp_path):
    notebook = jupytext.read(CHAPTERS / f"{section}.py")
    size = str(SIZES.get(section, 32))
    options = ["--limit", "32", "--limit-test", "16", "--size", size, "--batch-size", "16"]
    options += ["--epochs", "1", "--device", "cpu", "--data", str(dataset.folder)]
    [cell] = [cell for cell in notebook.cells if "arguments(" in cell.source]
    cell.source = cell.source.replace(f'("{section}", ', f'("{section}", argv={options}, ')
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}})
    client.execute()
    [folder] = (tmp_path / "runs").iterdir()
    shown = [output.data["image/png"] for output in notebook.cells[-2].outputs]
    for content, name in zip(shown, ("curve.png", "predictions.png")):
        assert base64.b64decode(content) == (folder / name).read_bytes()
    assert len(shown) == 2


def test_a_chapter_as_a_notebook_is_not_of_the_repository():
    names = ["chapters/resnet.ipynb", "chapters/runs/x", "chapters/.ipynb_checkpoints/x"]
    if shutil.which("git") is None:
        pytest.skip("needs git")
    ignored = subprocess.run(
        ["git", "check-ignore", *names], cwd=CHAPTERS.parent, capture_output=True, text=True
    )
    if ignored.returncode == 128:  # not a repository, or one that git does not trust
        pytest.skip(ignored.stderr)
    assert ignored.stdout.split() == names
