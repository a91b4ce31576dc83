"""The chapter scripts' options, device, run folder and sentences."""

from __future__ import annotations

import json
import re
import time

import gluonbook as gb
from gluonbook import chapter
from gluonbook.chapter import Chapter
from gluonbook.recipes import RECIPES
import mxnet as mx
import pytest

from .conftest import NO_MIRROR, run_script


@pytest.fixture(autouse=True)
def _keep_excepthook(monkeypatch):
    monkeypatch.setattr("sys.excepthook", chapter.sys.excepthook)


@pytest.mark.parametrize("section", RECIPES)
def test_defaults_are_the_recipes(section):
    options, recipe = Chapter(section, []).options, RECIPES[section]
    assert (options.lr, options.batch_size, options.size, options.num_epochs) == (
        recipe.lr,
        recipe.batch_size,
        recipe.size,
        recipe.num_epochs,
    )
    assert options.edition == "gluon" and options.hybridize and options.limit is None


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["--batch-size", "0"], "--batch-size: must be a whole number of at least 1, not '0'"),
        (["--epochs", "-3"], "--epochs"),
        (["--epochs", "two"], "--epochs: must be a whole number of at least 1, not 'two'"),
        (["--lr", "nan"], "--lr: must be a number above 0, not 'nan'"),
        (["--lr", "-0.1"], "--lr"),
        (["--seed", "4294967296"], "--seed: must be a whole number below 2**31"),
        (["--device", "tpu"], "--device: invalid choice: 'tpu'"),
        (["--edition", "keras"], "--edition: invalid choice: 'keras'"),
        (["--data", "/no/such/folder"], "--data: /no/such/folder does not hold the four files"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_a_bad_option_is_one_sentence_and_exit_2(argv, named, capsys):
    with pytest.raises(SystemExit) as exit_:
        Chapter("resnet", argv)
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert named in error and error.startswith("error: ") and error.count("\n") == 1


def test_help_groups_the_options(capsys):
    with pytest.raises(SystemExit) as exit_:
        Chapter("googlenet", ["--help"])
    text = capsys.readouterr().out
    assert exit_.value.code == 0
    for group in ("training:", "data:", "net:", "output:"):
        assert group in text
    options = {line.split()[0] for line in text.splitlines() if line.strip().startswith("--")}
    assert options == {
        *("--epochs", "--lr", "--batch-size", "--size", "--device", "--data", "--limit"),
        *("--seed", "--no-hybridize", "--edition", "--out", "--debug"),
    }


def test_device(monkeypatch):
    assert Chapter("lenet", ["--device", "cpu"]).ctx == mx.cpu()
    monkeypatch.setattr(chapter, "working_gpus", lambda: ([], ["no GPU: a reason"]))
    with pytest.raises(
        gb.runtime.Failure, match="--device gpu: no GPU: a reason; use --device cpu"
    ):
        Chapter("lenet", ["--device", "gpu"])
    monkeypatch.setattr(chapter, "working_gpus", lambda: ([mx.gpu(1)], []))
    assert Chapter("lenet", ["--device", "gpu"]).ctx == mx.gpu(1)


def test_two_runs_in_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(chapter.time, "strftime", lambda form: "20200101-000000")
    folders = [chapter.new_folder(tmp_path / "runs", "resnet").name for _ in range(3)]
    assert folders == ["resnet-20200101-000000" + end for end in ("", "-2", "-3")]


def test_out_that_is_a_file(tmp_path):
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(
        gb.runtime.Failure,
        match=r"--out .*runs cannot take a run.s folder \(File exists\): name another",
    ):
        chapter.new_folder(tmp_path / "runs", "resnet")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            MemoryError("Unable to allocate 3 GiB"),
            r"not enough memory \(Unable.*smaller --batch-size",
        ),
        (KeyboardInterrupt(), "interrupted"),
        (OSError(28, "No space left on device", "runs/x"), "runs/x: No space left on device"),
        (
            mx.base.MXNetError("Traceback\n  File\nMXNetError: out of memory"),
            "MXNet stopped: .*out of",
        ),
        (gb.runtime.Failure("a sentence"), "a sentence"),
    ],
)
def test_errors_are_told_in_one_sentence(error, told):
    assert re.fullmatch(f"{told}.*", chapter.describe(error))


def test_a_defect_keeps_its_traceback():
    assert chapter.describe(TypeError("a defect")) is None


def test_in_a_notebook_the_kernels_arguments_are_not_options(monkeypatch):
    monkeypatch.setitem(chapter.sys.modules, "ipykernel", object())
    monkeypatch.setattr(chapter.sys, "argv", ["kernel", "-f", "/x.json"])
    assert Chapter("lenet").options.num_epochs == 5


# --- whole scripts, in processes of their own -----------------------------------------------


def test_no_data_and_no_network(tmp_path):
    code = tmp_path / "sitecustomize.py"
    code.write_text(
        "import gluonbook.fashion_mnist as fm\nfm.SYSTEM_FOLDER = fm.Path('/no/such/folder')\n"
    )
    result = run_script(
        "lenet.py",
        cwd=tmp_path,
        PYTHONPATH=str(tmp_path),
        MXNET_HOME=str(tmp_path / "home"),
        GLUONBOOK_FASHION_MNIST_MIRRORS=NO_MIRROR,
    )
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: Fashion-MNIST is not on this machine")
    assert "dataset-fashion-mnist" in last and "--data" in last
    assert "Traceback" not in result.stderr and not (tmp_path / "runs").exists()


def test_damaged_data_is_told_and_debug_shows_where(real_files, tmp_path):
    (real_files / "train-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    argv = ("lenet.py", "--data", str(real_files))
    result = run_script(*argv, cwd=tmp_path)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "train-labels-idx1-ubyte.gz is damaged" in result.stderr.splitlines()[-1]
    assert "Traceback" in run_script(*argv, "--debug", cwd=tmp_path).stderr
    assert (real_files / "train-labels-idx1-ubyte.gz").read_bytes() == b"damaged"


def test_the_same_seed_prints_the_same_figures(dataset, tmp_path):
    def figures():
        result = run_script(
            "lenet.py",
            "--limit",
            "2000",
            "--epochs",
            "2",
            "--seed",
            "7",
            "--device",
            "cpu",
            "--data",
            str(dataset.folder),
            "--out",
            str(tmp_path / "runs"),
            cwd=tmp_path,
        )
        assert result.returncode == 0, result.stderr
        return [line.rsplit(", time", 1)[0] for line in result.stdout.splitlines()]

    first = figures()
    assert first == figures()
    assert first[-3:][0] == "training on cpu(0)" and first[-1].startswith("epoch 2, loss ")
    configs = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/config.json")]
    assert len(configs) == 2 and configs[0]["options"] == configs[1]["options"]
    assert configs[0]["dataset"]["edition"] == dataset.edition
    assert time.strftime("%Y") in next(iter(tmp_path.glob("runs/*"))).name
