"""The chapter scripts' options, device, run folder and sentences."""

from __future__ import annotations

import json
import os
from pathlib import Path
import re
import runpy
import signal
import subprocess
import sys
import time
from unittest import mock

import gluonbook as gb
from gluonbook import recipes
from gluonbook.cli import Chapter, chapter, messages
from gluonbook.data import fashion_mnist as fm
from gluonbook.export import import_symbol
from gluonbook.export.__main__ import main as export
from gluonbook.predict import load_run
from gluonbook.recipes import RECIPES, STABLE, TUNED
from gluonbook.runs.format import CheckpointError
from gluonbook.runs.lock import FolderLock
from gluonbook.system import device, files, machine
from gluonbook.system.errors import Failure
from gluonbook.system.files import FileFailure
from gluonbook.training.learning_rate import NotFinite
from hypothesis import given, settings
from hypothesis import strategies as st
import mxnet as mx
from mxnet import nd
import numpy as np
import pytest

from ..conftest import CHAPTERS, NO_MIRROR, needs_onnx, needs_tensorboard, run_script

pytestmark = pytest.mark.usefixtures("terminal_signals")


@pytest.fixture(autouse=True)
def _keep_excepthook(monkeypatch):
    monkeypatch.setattr("sys.excepthook", sys.excepthook)


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
        (["--device", "tpu"], "--device: must be auto, cpu, gpu, all, or one or several"),
        (["--device", "gpu:1,1"], "--device: must be auto"),
        (["--device", "gpu:"], "--device: must be auto"),
        (["--edition", "keras"], "--edition: invalid choice: 'keras'"),
        (["--data", "/no/such/folder"], "--data: /no/such/folder does not hold the four files"),
        (["--data", "~nouser/x"], "--data: ~nouser/x cannot be found, as there is no home folder"),
        (["--data", "x" * 5000], "does not hold the four files"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_a_bad_option_is_one_sentence_and_exit_2(argv, named, capsys):
    with pytest.raises(SystemExit) as exit_:
        Chapter("resnet", argv)
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert named in error and error.startswith("error: ") and error.count("\n") == 1


def test_data_under_the_home_folder_is_kept_by_its_full_path(real_files, monkeypatch):
    monkeypatch.setenv("HOME", str(real_files.parent))
    assert Chapter("resnet", ["--data=~/data"]).options.data == str(real_files)


def test_deterministic_is_set_before_a_gpu_is_tried(monkeypatch):
    names = ("MXNET_ENFORCE_DETERMINISM", "MXNET_CUDNN_AUTOTUNE_DEFAULT", "NVIDIA_TF32_OVERRIDE")
    for name in names:
        monkeypatch.setenv(name, "unset")
    seen = []

    def devices(choice):
        seen.extend(map(os.getenv, names))
        return [mx.cpu()]

    monkeypatch.setattr(chapter, "devices", devices)
    for argv in ([], ["--deterministic"]):
        Chapter("lenet", argv)
    assert seen == ["unset"] * 3 + ["1", "0", "0"]


def test_the_stable_recipe_is_chosen_by_name(tiny, tmp_path):
    options = Chapter("nin", ["--recipe", "stable", "--epochs", "2"]).options
    assert (options.lr, options.num_epochs, options.batch_size) == (0.0005, 2, 128)
    assert Chapter("nin", ["--recipe", "stable", "--lr", "0.1"]).options.lr == 0.1
    chosen = ("--recipe", "stable", "--size", "96", "--limit", "16", "--batch-size", "8")
    folder, _ = run(tmp_path, *chosen, "--epochs", "1", section="nin")
    config = json.loads((folder / "config.json").read_text())
    assert (config["optimizer"], config["initializer"]) == ("adam", "MSRAPrelu")
    with pytest.raises(Failure, match="has --recipe stable, not book: leave --recipe out"):
        Chapter("nin", ["--resume", str(folder), "--recipe", "book"])
    assert Chapter("nin", ["--resume", str(folder)]).recipe == STABLE["nin"]


def test_the_tuned_recipe_keeps_its_epochs(tiny, tmp_path):
    """Its learning rate is 0 after the last, so more of them would change nothing."""
    chosen = ("--recipe", "tuned", "--size", "32", "--limit", "16", "--batch-size", "8")
    folder, figures = run(tmp_path, *chosen, "--epochs", "2", section="resnet")
    assert len(figures) == 2
    config = json.loads((folder / "config.json").read_text())
    assert (config["tuning"]["momentum"], config["tuning"]["smoothing"]) == (0.9, 0.1)
    assert Chapter("resnet", ["--resume", str(folder), "--epochs", "2"]).recipe == TUNED["resnet"]
    with pytest.raises(Failure, match="has --epochs 2, not 3: leave --epochs out"):
        Chapter("resnet", ["--resume", str(folder), "--epochs", "3"])


def test_the_long_recipe_moves_its_images(tiny, tmp_path):
    chosen = ("--recipe", "long", "--size", "32", "--limit", "16", "--batch-size", "8")
    folder, _ = run(tmp_path, *chosen, "--epochs", "1", section="resnet")
    config = json.loads((folder / "config.json").read_text())
    assert (config["tuning"]["augment"], config["tuning"]["weight_decay"]) == (True, 5e-4)
    assert Chapter("resnet", ["--resume", str(folder)]).data["augment"]


def test_the_small_recipe_trains_another_net_which_predict_finds_again(tiny, tmp_path):
    chosen = ("--recipe", "small", "--limit", "16", "--batch-size", "8", "--epochs", "1")
    folder, _ = run(tmp_path, *chosen, section="resnet")
    assert Chapter("resnet", ["--resume", str(folder)]).recipe == recipes.SMALL["resnet"]
    images = tiny.test.images[:2]
    net = import_symbol(folder / "resnet")
    expected = net(nd.array(images / 255.0)).softmax().asnumpy()
    found = load_run(folder).probabilities(images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert "272,186" in (folder / "layers.txt").read_text().splitlines()[-1]


def test_the_help_tells_what_each_recipe_has(capsys):
    with pytest.raises(SystemExit):
        Chapter("resnet", ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "10 epochs with momentum, a schedule and label smoothing; long:" in text
    assert (
        "20 epochs with momentum, weight decay, a schedule, moved images and label smoothing; "
        "small: ResNet-20, sgd, learning rate 0.1, Xavier weights, 50 epochs with " in text
    )
    assert "label smoothing (default: book)" in text
    assert "learning rate (default: that of the recipe)" in text
    assert "height and width of the images (default: that of the recipe)" in text


def test_a_section_without_a_second_recipe_says_so(capsys):
    with pytest.raises(SystemExit):
        Chapter("lenet", ["--recipe", "tuned"])
    with pytest.raises(SystemExit):
        Chapter("resnet", ["--recipe", "stable"])
    assert "--recipe: invalid choice: 'stable'" in capsys.readouterr().err


@pytest.mark.parametrize(("section", "size"), [("nin", 64), ("lenet", 8), ("alexnet", 8)])
def test_images_that_are_too_small(section, size, tiny, tmp_path):
    """NiN's third pooling, LeNet's second convolution and AlexNet's first are too wide."""
    with pytest.raises((mx.base.MXNetError, ValueError)) as error:
        run(tmp_path, "--size", str(size), section=section)
    assert "the images are too small for this net: " in messages.describe(error.value)
    assert list(tmp_path.iterdir()) == []
    chapter_ = Chapter(section, ["--size", str(size), "--out", str(tmp_path)])
    told = f"--size {size} is too small for .* choose more, up to"
    with pytest.raises(Failure, match=told), chapter_.keep(RECIPES[section].net()):
        pytest.fail("it began")
    assert list(tmp_path.iterdir()) == []


#: Options that only some sections offer: those whose text leaves a choice.
OFFERED = {
    "lenet": {"--edition"},
    "alexnet": {"--edition"},
    "nin": {"--recipe"},
    "googlenet": {"--edition"},
    "resnet": {"--recipe"},
    "densenet": {"--edition"},
}


@pytest.mark.parametrize("section", RECIPES)
def test_help_groups_the_options_and_offers_none_without_a_choice(section, capsys):
    with pytest.raises(SystemExit) as exit_:
        Chapter(section, ["--help"])
    text = capsys.readouterr().out
    assert exit_.value.code == 0
    for group in ("training:", "data:", "saving:", "output:"):
        assert group in text
    options = {line.split()[0] for line in text.splitlines() if line.strip().startswith("--")}
    assert options == OFFERED.get(section, set()) | {
        *("--epochs", "--lr", "--batch-size", "--size", "--device", "--data", "--limit"),
        *("--limit-test", "--seed", "--no-hybridize", "--out", "--debug"),
        *("--save-every", "--resume", "--amp", "--deterministic", "--export", "--tensorboard"),
    }


def test_what_an_option_repeats_is_escaped(capsys):
    with pytest.raises(SystemExit):
        Chapter("lenet", ["--lr", "\x1b]0;title\x07"])
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("section", RECIPES)
def test_help_gives_a_quick_look(section, capsys):
    with pytest.raises(SystemExit):
        Chapter(section, ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    quick = text.partition(f"in which the net learns: {section}.py ")[2].split()
    options = Chapter(section, quick).options
    assert options.limit * options.num_epochs <= RECIPES[section].num_epochs * 60_000
    assert options.limit_test == 1000 and options.size <= RECIPES[section].size


def test_device(monkeypatch):
    assert Chapter("lenet", ["--device", "cpu"]).ctxs == [mx.cpu()]
    assert Chapter("lenet", ["--device", "cpu:2,0"]).ctxs == [mx.cpu(2), mx.cpu(0)]
    monkeypatch.setattr(device, "working_gpus", lambda: ([], ["no GPU: a reason"]))
    for choice in ("gpu", "gpu:0", "gpu:0,1"):
        with pytest.raises(Failure, match=f"--device {choice}: no GPU: a reason; use --device cpu"):
            Chapter("lenet", ["--device", choice])
    monkeypatch.setattr(device, "working_gpus", lambda: ([mx.gpu(1), mx.gpu(2)], []))
    assert Chapter("lenet", ["--device", "gpu"]).ctxs == [mx.gpu(1)]
    assert Chapter("lenet", ["--device", "gpu:2"]).ctxs == [mx.gpu(2)]
    assert Chapter("lenet", ["--device", "gpu:2,1"]).ctxs == [mx.gpu(2), mx.gpu(1)]
    with pytest.raises(Failure, match=r"--device gpu:1,7: there is no gpu\(7\); use --device cpu"):
        Chapter("lenet", ["--device", "gpu:1,7"])
    monkeypatch.setattr(device, "try_all_gpus", lambda: [mx.gpu(1), mx.gpu(2)])
    monkeypatch.setattr(device, "try_gpu", lambda: mx.gpu(1))
    assert Chapter("lenet", ["--device", "all"]).ctxs == [mx.gpu(1), mx.gpu(2)]
    assert Chapter("lenet", []).ctxs == [mx.gpu(1)]


def test_several_devices_train_as_one(tiny, tmp_path, capsys):
    """LeNet has nothing that depends on the batch, so two halves give what the whole gives."""
    small = ("--batch-size", "16", "--seed", "4", "--epochs", "2")
    _, one = run(tmp_path / "one", *small)
    out = capsys.readouterr().out
    assert "training on cpu(0)\n" in out
    folder, two = run(tmp_path / "two", *small, "--device", "cpu:0,1")
    assert "training on [cpu(0), cpu(1)]\n" in capsys.readouterr().out
    assert two == [pytest.approx(row, rel=1e-4) for row in one]
    assert json.loads((folder / "config.json").read_text())["device"] == "cpu(0), cpu(1)"
    with pytest.raises(CheckpointError, match="devices"):
        run(tmp_path, "--resume", str(folder), "--epochs", "3", "--device", "cpu")


def test_two_runs_in_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(chapter.time, "strftime", lambda form: "20200101-000000")
    folders = [chapter.new_folder(tmp_path / "runs", "resnet").name for _ in range(3)]
    assert folders == ["resnet-20200101-000000" + end for end in ("", "-2", "-3")]


def test_out_that_is_a_file(tmp_path):
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(
        Failure,
        match=r"--out .*runs: no folder can be made there \(File exists\); name another",
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
            mx.base.MXNetError("Traceback\n  File\nMXNetError: Failed to allocate CPU Memory"),
            r"not enough memory \(MXNetError: Failed to.*smaller --batch-size",
        ),
        (mx.base.MXNetError("Traceback\n  File\nMXNetError: a fault"), "MXNet stopped: .*a fault"),
        (Failure("a sentence"), "a sentence"),
    ],
)
def test_errors_are_told_in_one_sentence(error, told):
    assert re.fullmatch(f"{told}.*", messages.describe(error))


def test_a_defect_keeps_its_traceback():
    assert messages.describe(TypeError("a defect")) is None


def test_in_a_notebook_the_kernels_arguments_are_not_options(monkeypatch):
    monkeypatch.setattr(chapter, "in_notebook", lambda: True)
    monkeypatch.setattr(sys, "argv", ["kernel", "-f", "/x.json"])
    assert Chapter("lenet").options.num_epochs == 5


# --- going on with a run ----------------------------------------------------------------------


def run(tmp_path, *argv, section="lenet"):
    """A run of the script in process; its folder, and its figures without the times."""
    if "--device" not in argv:
        argv = (*argv, "--device", "cpu")
    if "--resume" not in argv:
        argv = (*argv, "--out", str(tmp_path))
    argv = (f"{section}.py", *argv)
    with mock.patch.multiple(sys, argv=list(argv), stdout=sys.stdout):
        left = runpy.run_path(str(CHAPTERS / f"{section}.py"))
    return left["chapter"].folder, [row[:4] for row in left["kept"]["history"]]


SMALL = ("--batch-size", "16", "--seed", "4")


def test_resumed_for_more_epochs(tiny, tmp_path):
    unbroken, expected = run(tmp_path / "a", *SMALL, "--epochs", "4", "--save-every", "2")
    folder, _ = run(tmp_path / "b", *SMALL, "--epochs", "2", "--save-every", "2")
    again, figures = run(tmp_path, "--resume", str(folder), "--epochs", "4")
    assert again == folder and figures == expected
    rows = [
        [row.rsplit(",", 1)[0] for row in (path / "history.csv").read_text().splitlines()]
        for path in (folder, unbroken)
    ]
    assert rows[0] == rows[1] and len(rows[0]) == 5
    assert (folder / "lenet.params").read_bytes() == (unbroken / "lenet.params").read_bytes()
    # The run's configuration knows the new number of epochs.
    assert run(tmp_path, "--resume", str(folder))[1] == expected


def test_the_options_of_a_run_are_taken_from_it(tiny, tmp_path):
    options = ("--lr", "0.25", "--edition", "pytorch", "--no-hybridize", "--save-every", "3")
    folder, _ = run(tmp_path, *SMALL, *options, "--epochs", "1", "--limit", "40")
    resumed = Chapter("lenet", ["--resume", str(folder)]).options
    assert (resumed.lr, resumed.edition, resumed.hybridize) == (0.25, "pytorch", False)
    assert (resumed.save_every, resumed.limit, resumed.seed) == (3, 40, 4)
    assert (resumed.batch_size, resumed.num_epochs) == (16, 1)
    assert Chapter("lenet", ["--resume", str(folder), "--lr", "0.25"]).options.lr == 0.25


@pytest.mark.parametrize(
    ("argv", "tested"),
    [
        ([], None),
        (["--limit", "300"], 1000),
        (["--limit", "9000"], 1500),
        (["--limit", "60000"], 10_000),
        (["--limit", "70000"], 10_000),
        (["--limit", "300", "--limit-test", "20"], 20),
        (["--limit-test", "20"], 20),
    ],
)
def test_a_quick_look_tests_on_fewer_images_too(argv, tested):
    assert Chapter("lenet", argv).options.limit_test == tested


def test_accuracy_is_over_the_images_that_are_tested(tiny, tmp_path):
    """Of 7 images, it is a number of sevenths."""
    few, figures = run(tmp_path, *SMALL, "--epochs", "2", "--limit-test", "7")
    for *_, test_acc in figures:
        assert 7 * test_acc == pytest.approx(round(7 * test_acc))
    assert Chapter("lenet", ["--resume", str(few)]).options.limit_test == 7
    all_, _ = run(tmp_path, *SMALL, "--epochs", "1")
    with pytest.raises(Failure, match="has --limit-test None, not 7"):
        Chapter("lenet", ["--resume", str(all_), "--limit-test", "7"])


def test_a_run_from_before_the_option_is_tested_on_all_images(tiny, tmp_path):
    folder, _ = run(tmp_path, *SMALL, "--epochs", "1", "--limit", "40")
    config = json.loads((folder / "config.json").read_text())
    del config["options"]["limit_test"]
    files.write(folder / "config.json", json.dumps(config))
    assert Chapter("lenet", ["--resume", str(folder)]).options.limit_test == 10_000


@needs_onnx
@needs_tensorboard
def test_a_run_that_goes_on_keeps_its_export_and_its_figures_for_tensorboard(
    tiny, tmp_path, monkeypatch
):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, _ = run(tmp_path, *SMALL, "--epochs", "1", "--export", "onnx", "--tensorboard")
    first = (folder / "lenet.onnx").read_bytes()
    _, figures = run(tmp_path, "--resume", str(folder), "--epochs", "2")
    assert (folder / "lenet.onnx").read_bytes() != first
    shown = EventAccumulator(str(folder)).Reload().Scalars("accuracy/test")
    assert [(each.step, each.value) for each in shown] == [
        (epoch, pytest.approx(test_acc)) for epoch, _, _, test_acc in figures
    ]


@needs_onnx
def test_a_net_exported_between_two_trainings_is_exported_again(tiny, tmp_path):
    folder, _ = run(tmp_path, *SMALL, "--epochs", "1")
    export([str(folder)])
    run(tmp_path, "--resume", str(folder), "--epochs", "2")
    export([str(folder), "--out", str(tmp_path / "now.onnx")])
    assert (folder / "lenet.onnx").read_bytes() == (tmp_path / "now.onnx").read_bytes()


@pytest.mark.parametrize(
    ("options", "package", "told"),
    [
        (["--export", "onnx"], "onnxruntime", r"onnx.* cannot be imported .*'gluonbook\[onnx\]'"),
        (["--tensorboard"], "tensorboard", r"TensorBoard cannot .*'gluonbook\[tensorboard\]'"),
    ],
)
def test_a_missing_extra_is_told_before_training(
    options, package, told, tiny, tmp_path, monkeypatch
):
    for name in (package, *(name for name in sys.modules if name.startswith(f"{package}."))):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Failure, match=told):
        run(tmp_path, *SMALL, *options)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_has_its_epochs_says_so(tiny, tmp_path, capsys):
    folder, _ = run(tmp_path, *SMALL, "--epochs", "2")
    capsys.readouterr()
    run(tmp_path, "--resume", str(folder))
    out = capsys.readouterr().out
    assert "all 2 epochs of this run are done: ask for more to go on" in out
    assert "loss" not in out
    run(tmp_path, "--resume", str(folder), "--epochs", "3")
    out = capsys.readouterr().out
    assert "epoch 3, loss" in out and "done" not in out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--lr", "0.5"], "has --lr 0.9, not 0.5: leave --lr out"),
        (["--limit", "20"], "has --limit None, not 20"),
        (["--edition", "pytorch"], "has --edition gluon, not pytorch"),
        (["--batch-size", "8"], "has --batch-size 16, not 8"),
        (["--size", "32"], "has --size 28, not 32"),
        (["--seed", "5"], "has --seed 4, not 5"),
    ],
)
def test_another_recipe_is_refused_by_both_values(given, told, tiny, tmp_path):
    folder, _ = run(tmp_path, *SMALL, "--epochs", "1")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(Failure, match=told):
        Chapter("lenet", ["--resume", str(folder), *given])
    assert before == {path: path.read_bytes() for path in folder.iterdir()}


def test_another_section_is_refused(tiny, tmp_path):
    folder, _ = run(tmp_path, *SMALL, "--epochs", "1")
    with pytest.raises(Failure, match="holds a run of lenet, not of resnet: use the script of"):
        Chapter("resnet", ["--resume", str(folder)])


def test_another_release_of_the_data_set_is_refused(tiny, tmp_path, monkeypatch):
    folder, _ = run(tmp_path, *SMALL, "--epochs", "1")
    before = (folder / "config.json").read_bytes()
    monkeypatch.setattr(fm, "fashion_mnist", lambda root=None: tiny._replace(release="another"))
    with pytest.raises(Failure, match=f"release of {tiny.release}, not of another: name"):
        run(tmp_path, "--resume", str(folder), "--epochs", "2")
    assert (folder / "config.json").read_bytes() == before


def test_another_optimizer_of_a_later_version_is_refused(tiny, tmp_path, monkeypatch):
    folder, _ = run(tmp_path, *SMALL, "--epochs", "1")
    monkeypatch.setitem(RECIPES, "lenet", RECIPES["lenet"]._replace(optimizer="adam"))
    with pytest.raises(Failure, match="has the optimizer sgd, and this version adam"):
        Chapter("lenet", ["--resume", str(folder)])


def test_resuming_nothing(tmp_path):
    with pytest.raises(Failure, match="there is no folder .*none: name that of a run"):
        Chapter("lenet", ["--resume", str(tmp_path / "none")])
    with pytest.raises(Failure, match="config.json is missing"):
        Chapter("lenet", ["--resume", str(tmp_path)])


def test_a_run_that_has_no_checkpoint_begins(tiny, tmp_path):
    """Killed before its first save, it has its configuration only."""
    folder, figures = run(tmp_path, *SMALL, "--epochs", "1")
    for path in folder.glob("checkpoint*"):
        path.unlink()
    assert run(tmp_path, "--resume", str(folder)) == (folder, figures)


def config_of(folder, changed):
    options = {"batch_size": 16, "lr": 0.9, "seed": 4, "size": 28, "edition": "gluon"}
    options.update(recipe="book", amp=False)
    if isinstance(changed, dict):
        changed = {**options, "limit": None, **changed}
    config = {"section": "lenet", "optimizer": "sgd", "initializer": "Xavier"}
    config.update(options=changed, dataset={"edition": "2017-08-31"})
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"lr": -1}, "config.json is damaged: argument --lr: must be a number above 0, not '-1'"),
        ({"lr": [1]}, "damaged: argument --lr"),
        ({"lr": 1e308}, "damaged: argument --lr: must be a number that float32 holds"),
        ({"size": 2**64}, "damaged: argument --size: must be a whole number of at least 1 and"),
        ({"save_every": 2**63}, "damaged: argument --save-every: must be a whole number of"),
        ({"limit": 2**64, "limit_test": 2**64}, "damaged: argument --limit: must be a whole"),
        ({"edition": "keras"}, "damaged: argument --edition: invalid choice: 'keras'"),
        ({"num_epochs": 1e3}, "damaged: argument --epochs"),
        ({"data": {}}, "config.json is damaged"),
        ({"seed": "9" * 5000}, "damaged: argument --seed"),
        ([], "config.json is damaged"),
        (7, "config.json is damaged: it is not the configuration of a run"),
    ],
)
def test_a_damaged_configuration(options, told, tmp_path):
    config_of(tmp_path, options)
    with pytest.raises(Failure, match=told):
        Chapter("lenet", ["--resume", str(tmp_path)])


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["options", "section", "lr", "seed", "data", "hybridize"]), inner
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_configuration_is_refused_in_one_sentence(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp() / "configurations"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(content)
    with pytest.raises(Failure, match=r"\A.*config.json is damaged: .*\Z"):
        Chapter("lenet", ["--resume", str(folder)])


# --- what stops a run -------------------------------------------------------------------------


def test_a_loss_that_is_not_finite(tiny, tmp_path):
    with pytest.raises(NotFinite, match=r"epoch 1, batch \d: .* the learning rate of 1e\+38") as e:
        run(tmp_path, *SMALL, "--lr", "1e38", "--size", "32", section="resnet")
    assert "start again with a lower one" in str(e.value) and "--resume" not in str(e.value)
    assert len(list(tmp_path.glob("*/checkpoint-1-0.safetensors"))) == 1


def test_too_little_memory_is_told_before_training(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 1000)
    told = (
        r"a batch of 16 images of 28 pixels needs more than 0.0 GB of memory, and 0.0 GB are free: "
        "choose a smaller --batch-size or --size"
    )
    with pytest.raises(Failure, match=told):
        run(tmp_path, *SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError("Unable to allocate"), "not enough memory.* or make some free and"),
        (mx.base.MXNetError("Failed to allocate"), "not enough memory.* or make some free and"),
        (FileFailure("x cannot be written: no room"), "x cannot be written: no room; then"),
    ],
)
def test_what_can_be_mended_names_the_command_to_go_on(error, told, tiny, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(gb, "train_ch5", fail)
    with pytest.raises(Failure, match=rf"{told} go on with `.* --resume .*lenet-"):
        run(tmp_path, *SMALL)


# --- whole scripts, in processes of their own -----------------------------------------------


def test_no_data_and_no_network(tmp_path):
    code = tmp_path / "sitecustomize.py"
    code.write_text(
        "from gluonbook.data import folders\n"
        "folders.SYSTEM_FOLDER = folders.Path('/no/such/folder')\n"
    )
    result = run_script(
        "lenet.py",
        cwd=tmp_path,
        PYTHONPATH=os.pathsep.join((str(tmp_path), str(CHAPTERS.parent))),
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
    short = ("--limit", "600", "--limit-test", "100", "--epochs", "2", "--device", "cpu")
    files = ("--data", str(dataset.folder), "--out", str(tmp_path / "runs"))

    def figures():
        result = run_script("lenet.py", *short, "--seed", "7", *files, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return [line.rsplit(", time", 1)[0] for line in result.stdout.splitlines()]

    first = figures()
    assert first == figures()
    assert first[-3:][0] == "training on cpu(0)" and first[-1].startswith("epoch 2, loss ")
    configs = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/config.json")]
    assert len(configs) == 2 and configs[0]["options"] == configs[1]["options"]
    assert configs[0]["dataset"]["edition"] == dataset.release
    assert time.strftime("%Y") in next(iter(tmp_path.glob("runs/*"))).name


def start_and_signal(tmp_path, signum, *options):
    """Start a script, send it a signal as it trains, and return what it says at its end."""
    process = subprocess.Popen(
        [sys.executable, str(CHAPTERS / "lenet.py"), "--limit", "2000", "--seed", "1", *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("epoch 1"):
            break
    process.send_signal(signum)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors.splitlines()[-1]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_tells_how_to_go_on(signum, code, dataset, tmp_path):
    returned, last = start_and_signal(tmp_path, signum, "--epochs", "1000")
    assert returned == code
    match = re.fullmatch(
        r"interrupted in epoch (\d+) after batch (\d+), which is saved in (runs/lenet-\S+); "
        r"go on with `(.* --resume runs/lenet-\S+)`",
        last,
    )
    epoch, batch, folder, command = match.groups()
    assert (tmp_path / folder / f"checkpoint-{epoch}-{batch}.safetensors").exists()
    assert (tmp_path / folder / "curve.png").exists()
    result = subprocess.run(  # as it was printed, by a shell that knows no `python`
        f"{command} --epochs {epoch}",
        shell=True,
        cwd=tmp_path,
        env={**os.environ, "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    printed = [line for line in result.stdout.splitlines() if line.startswith("epoch")]
    assert len(printed) == 1 and printed[0].startswith(f"epoch {epoch}, loss ")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/home/reader/book/.venv/bin/python", ".venv/bin/python"),
        ("/usr/bin/python3", "/usr/bin/python3"),
        ("chapters/lenet.py", "chapters/lenet.py"),
        ("/home/reader/book/python", "/home/reader/book/python"),  # alone, it is looked for in PATH
    ],
)
def test_a_command_names_files_as_seen_from_here(path, told, monkeypatch):
    monkeypatch.setattr(os, "getcwd", lambda: "/home/reader/book")
    assert messages._shorter(path) == told


SHORT = ("--limit", "2000", "--seed", "1", "--epochs", "2", "--device", "cpu")


def start(tmp_path, *options, **streams):
    script = [sys.executable, str(CHAPTERS / "lenet.py"), *SHORT, *options]
    return subprocess.Popen(script, cwd=tmp_path, **streams)


def rows_of(tmp_path):
    [folder] = (tmp_path / "runs").iterdir()
    return folder, len((folder / "history.csv").read_text().splitlines()) - 1


def test_a_reader_that_leaves_loses_nothing(dataset, tmp_path):
    """As ``| head -8`` does, which takes the shapes and goes."""
    process = start(tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(8):
        process.stdout.readline()
    process.stdout.close()
    with process.stderr as stream:
        errors = stream.read().decode()
    assert process.wait(timeout=120) == 0, errors
    folder, rows = rows_of(tmp_path)
    assert rows == 2 and (folder / "lenet.params").exists()
    assert "standard output cannot be written (Broken pipe)" in errors


def test_a_full_disk_under_standard_output_loses_nothing(dataset, tmp_path):
    with open("/dev/full", "w") as full:
        process = start(tmp_path, stdout=full, stderr=subprocess.PIPE)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert rows_of(tmp_path)[1] == 2
    assert b"standard output cannot be written (No space left on device)" in errors


@pytest.mark.parametrize("hang_up", [True, False], ids=["hangs up", "does not"])
def test_a_terminal_that_is_closed(hang_up, dataset, tmp_path):
    """With a hang-up the run is saved; if that is ignored, as by nohup, it goes on to its end."""
    ours, theirs = os.openpty()
    process = start(
        tmp_path,
        *("--epochs", "1000" if hang_up else "3"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=(os.setsid if hang_up else lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)),
    )
    os.close(theirs)
    shown = b""
    while b"epoch 1, loss" not in shown:
        shown += os.read(ours, 4096)
    os.close(ours)
    if hang_up:
        process.send_signal(signal.SIGHUP)
    code = process.wait(timeout=120)
    folder, rows = rows_of(tmp_path)
    if hang_up:
        assert code == 128 + signal.SIGHUP and rows >= 1
        epoch, batch = max(
            tuple(map(int, re.findall(r"[0-9]+", path.stem)))
            for path in folder.glob("checkpoint-*.safetensors")
        )
        assert (epoch, batch) > (rows, 0)
    else:
        assert code == 0 and rows == 3


def test_a_folder_whose_name_is_not_utf_8(dataset, tmp_path):
    out = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    process = start(tmp_path, "--out", out, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    [folder] = Path(out).iterdir()
    left = {path.name for path in folder.glob("[!.]*")}
    assert {"lenet.params", "lenet-0000.params", "lenet-symbol.json", "curve.png"} <= left


def test_what_would_fail_at_the_end_fails_before_the_first_epoch(tiny, tmp_path, monkeypatch):
    def fail(*args):
        raise FileFailure("the net cannot be exported: a reason")

    monkeypatch.setattr(chapter, "export_symbol", fail)
    monkeypatch.setattr(gb, "train_ch5", lambda *args, **kwargs: pytest.fail("it began"))
    with pytest.raises(Failure, match="^the net cannot be exported: a reason$"):
        run(tmp_path, *SMALL)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_resume_has_written_nothing(tiny, tmp_path):
    folder, _ = run(tmp_path, *SMALL, "--epochs", "1")
    lock = FolderLock(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}
    lock.acquire()
    with pytest.raises(CheckpointError, match="in use by another run"):
        run(tmp_path, "--resume", str(folder), "--epochs", "50")
    lock.release()
    newest = folder / "checkpoint-2-0.safetensors"
    damaged = {path: path.read_bytes()[:-1] for path in folder.glob("checkpoint*")}
    for path, content in damaged.items():
        path.write_bytes(content)
    before.update({path.name: content for path, content in damaged.items()})
    with pytest.raises(CheckpointError, match=f"no checkpoint in .* is whole: .*{newest.name}"):
        run(tmp_path, "--resume", str(folder), "--epochs", "50")
    left = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}
    assert left == before


#: Runs a script under a limit that the system sets once all is loaded.
LIMITED = """
import resource, runpy, sys
import gluonbook as gb, psutil
gb.lenet()
limit = sys.argv[1]
sys.argv = sys.argv[2:]
if limit != "memory":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
else:
    size = psutil.Process().memory_info().vms + 1250 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def limited(tmp_path, limit, *options):
    script = [str(CHAPTERS / "lenet.py"), "--limit", "500", "--epochs", "1", *options]
    return subprocess.run(
        [sys.executable, "-c", LIMITED, limit, *script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_disk_without_room_for_what_a_run_leaves(dataset, tmp_path):
    result = limited(tmp_path, "100000")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert re.fullmatch(
        r"error: runs/lenet-.*lenet-0000.params cannot be written: there is no room for it .*; "
        r"make room on that disk",
        result.stderr.splitlines()[-1],
    )
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_disk_without_room_for_a_checkpoint(dataset, tmp_path):
    """LeNet's parameters are 178 kB, and a checkpoint says a little more."""
    result = limited(tmp_path, "179000")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert re.fullmatch(
        r"error: .*checkpoint-1-0.safetensors cannot be written: there is no room for it .*; make "
        r"room on that disk; then go on with `.*python.* .*lenet.py --resume runs/lenet-.*`",
        result.stderr.splitlines()[-1],
    )
    [folder] = (tmp_path / "runs").iterdir()
    assert not list(folder.glob("*.safetensors")) and not list(folder.glob(".partial*"))


def test_memory_that_runs_out_within_mxnet(dataset, tmp_path):
    result = limited(tmp_path, "memory", "--batch-size", "500", "--size", "160")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert re.fullmatch(
        "error: not enough memory .*: try a smaller --batch-size or --size; or make some free and "
        "go on with `.*python.* .*lenet.py --resume runs/lenet-.*`",
        result.stderr.splitlines()[-1],
    )
