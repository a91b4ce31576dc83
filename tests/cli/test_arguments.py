"""A chapter's options: what each may be, and what they make of its hyperparameters."""

from __future__ import annotations

import json
import os
from pathlib import Path
import re
import sys

from gluonbook.cli import arguments, options
from gluonbook.cli import parser as cli_parser
from gluonbook.cli.exercise import Exercise
from gluonbook.gpu import device
from gluonbook.recipes import RECIPES
from gluonbook.system import files
from gluonbook.system.errors import Failure
from hypothesis import given, settings
from hypothesis import strategies as st
import mxnet as mx
import numpy as np
import pytest

from ..conftest import CHAPTERS, run_chapter

STATED = {
    section: {name: getattr(recipe, name) for name in ("lr", "num_epochs", "batch_size", "size")}
    for section, recipe in RECIPES.items()
}


@pytest.fixture(autouse=True)
def _keep_excepthook(monkeypatch):
    monkeypatch.setattr("sys.excepthook", sys.excepthook)


def options_of(section, argv):
    """The options of a section's chapter."""
    return options.of_chapter(section, argv, STATED[section])


def args_of(section, argv):
    return arguments(section, **STATED[section], argv=argv)


def test_without_options_the_numbers_are_the_chapters():
    args = arguments("lenet", lr=0.25, num_epochs=3, batch_size=8, size=30, argv=[])
    assert (args.lr, args.num_epochs, args.batch_size, args.size) == (0.25, 3, 8, 30)
    given = ["--lr", "0.5", "--epochs", "4", "--batch-size", "16", "--size", "32"]
    args = arguments("lenet", lr=0.25, num_epochs=3, batch_size=8, size=30, argv=given)
    assert (args.lr, args.num_epochs, args.batch_size, args.size) == (0.5, 4, 16, 32)


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"num_epochs": 0}, "num_epochs must be a whole number of at least 1, not '0'"),
        ({"num_epochs": 1.5}, "num_epochs must be a whole number of at least 1, not '1.5'"),
        ({"batch_size": 16.0}, "batch_size must be a whole number of at least 1, not '16.0'"),
        ({"lr": -0.1}, "lr must be a number above 0, not '-0.1'"),
        ({"lr": None}, "lr must be a number above 0, not 'None'"),
        ({"size": 4096}, "size must be a whole number of at least 1 and below 4,096"),
    ],
)
def test_a_number_that_a_chapter_states_is_checked_as_its_option_is(stated, told):
    with pytest.raises(Failure, match=re.escape(f"in the chapter's arguments, {told}")):
        arguments("lenet", **{**STATED["lenet"], **stated}, argv=["--epochs", "2"])


def test_numbers_of_numpy_are_stated_as_well():
    stated = {"lr": np.float32(0.5), "num_epochs": np.int64(3), "batch_size": 8, "size": 28}
    args = arguments("lenet", **stated, argv=[])
    assert (args.lr, args.num_epochs) == (0.5, 3) and type(args.lr) is float


def test_reading_options_draws_no_random_number_and_leaves_standard_output():
    stream, drawn = sys.stdout, []
    for read in (lambda: None, lambda: args_of("lenet", ["--seed", "4"])):
        np.random.seed(7)
        mx.random.seed(7)
        read()
        drawn.append((np.random.rand(), mx.nd.random.uniform().asscalar()))
    assert drawn[0] == drawn[1] and sys.stdout is stream


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
        (["--data", "/no/such/folder"], "--data: /no/such/folder does not hold the four files"),
        (["--data", "~nouser/x"], "--data: ~nouser/x cannot be found, as there is no home folder"),
        (["--data", "x" * 5000], "does not hold the four files"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_a_bad_option_is_one_sentence_and_exit_2(argv, named, capsys):
    with pytest.raises(SystemExit) as exit_:
        options_of("resnet", argv)
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert named in error and error.startswith("error: ") and error.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["--recipe", "tuned"], "resnet --recipe tuned"),
        (["--epochs", "2", "--recipe=long"], "resnet --epochs 2 --recipe=long"),
        (["--edition", "pytorch"], "resnet --edition pytorch"),
        (["--no-hybridize", "--lr", "1"], "resnet --no-hybridize --lr 1"),
    ],
)
def test_an_option_of_the_trainer_ends_in_the_command_to_use(argv, command, capsys):
    with pytest.raises(SystemExit) as exit_:
        options_of("resnet", argv)
    told = capsys.readouterr().err
    assert exit_.value.code == 2 and told.count("\n") == 1
    assert f"use `python -m gluonbook.train {command}`" in told


def test_data_under_the_home_folder_is_kept_by_its_full_path(real_files, monkeypatch):
    monkeypatch.setenv("HOME", str(real_files.parent))
    assert options_of("resnet", ["--data=~/data"]).data == str(real_files)


def test_deterministic_is_set_before_a_gpu_is_tried(monkeypatch):
    names = ("MXNET_ENFORCE_DETERMINISM", "MXNET_CUDNN_AUTOTUNE_DEFAULT", "NVIDIA_TF32_OVERRIDE")
    for name in names:
        monkeypatch.setenv(name, "unset")
    seen = []

    def devices(choice):
        seen.extend(map(os.getenv, names))
        return [mx.cpu()]

    monkeypatch.setattr(sys.modules["gluonbook.cli.arguments"], "devices", devices)
    for argv in ([], ["--deterministic"]):
        args_of("lenet", argv)
    assert seen == ["unset"] * 3 + ["1", "0", "0"]


@pytest.mark.parametrize("section", RECIPES)
def test_help_groups_the_options(section, capsys):
    with pytest.raises(SystemExit) as exit_:
        options_of(section, ["--help"])
    text = capsys.readouterr().out
    assert exit_.value.code == 0
    for group in ("training:", "data:", "saving:", "output:"):
        assert group in text
    offered = {line.split()[0] for line in text.splitlines() if line.strip().startswith("--")}
    assert offered == {
        *("--epochs", "--lr", "--batch-size", "--size", "--device", "--data", "--limit"),
        *("--limit-test", "--seed", "--out", "--debug"),
        *("--save-every", "--resume", "--amp", "--deterministic", "--export", "--tensorboard"),
    }


def test_what_an_option_repeats_is_escaped(capsys):
    with pytest.raises(SystemExit):
        options_of("lenet", ["--lr", "\x1b]0;title\x07"])
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("section", RECIPES)
def test_help_gives_a_quick_look(section, capsys):
    with pytest.raises(SystemExit):
        options_of(section, ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    program, *quick = text.partition("in which the net learns: ")[2].split()
    if program == f"{section}.py":
        found = options_of(section, quick)
    else:  # by a recipe, which only the trainer has
        assert [program, *quick[:3]] == ["python", "-m", "gluonbook.train", section]
        found = options.of_trainer(section, quick[3:])
    assert found.limit * found.num_epochs <= RECIPES[section].num_epochs * 60_000
    assert found.limit_test == 1000 and found.size <= RECIPES[section].size


def test_device(monkeypatch):
    assert args_of("lenet", ["--device", "cpu"]).ctx == mx.cpu()
    assert args_of("lenet", ["--device", "cpu:2,0"]).ctx == [mx.cpu(2), mx.cpu(0)]
    monkeypatch.setattr(device, "working_gpus", lambda: ([], ["no GPU: a reason"]))
    for choice in ("gpu", "gpu:0", "gpu:0,1"):
        with pytest.raises(Failure, match=f"--device {choice}: no GPU: a reason; use --device cpu"):
            args_of("lenet", ["--device", choice])
    monkeypatch.setattr(device, "working_gpus", lambda: ([mx.gpu(1), mx.gpu(2)], []))
    assert args_of("lenet", ["--device", "gpu"]).ctx == mx.gpu(1)
    assert args_of("lenet", ["--device", "gpu:2"]).ctx == mx.gpu(2)
    assert args_of("lenet", ["--device", "gpu:2,1"]).ctx == [mx.gpu(2), mx.gpu(1)]
    with pytest.raises(Failure, match=r"--device gpu:1,7: there is no gpu\(7\); use --device cpu"):
        args_of("lenet", ["--device", "gpu:1,7"])
    monkeypatch.setattr(device, "try_all_gpus", lambda: [mx.gpu(1), mx.gpu(2)])
    monkeypatch.setattr(device, "try_gpu", lambda: mx.gpu(1))
    assert args_of("lenet", ["--device", "all"]).ctx == [mx.gpu(1), mx.gpu(2)]
    assert args_of("lenet", []).ctx == mx.gpu(1)


def test_in_a_notebook_the_kernels_arguments_are_not_options_and_the_hook_stays(monkeypatch):
    monkeypatch.setattr(sys.modules["gluonbook.cli.arguments"], "in_notebook", lambda: True)
    monkeypatch.setattr(sys, "argv", ["kernel", "-f", "/x.json"])
    hook = sys.excepthook
    assert arguments("lenet", **STATED["lenet"]).num_epochs == 5
    assert sys.excepthook is hook


@pytest.mark.parametrize("place", ["chapters", "chapters/zh", "chapters/exercises"])
def test_a_chapters_notebook_keeps_its_runs_where_the_script_does(place, monkeypatch):
    """The script is started in the folder above the chapters, a notebook in its own folder."""
    clone = CHAPTERS.parent
    monkeypatch.chdir(clone / place)
    assert Path(options_of("lenet", []).out) == Path("runs")
    for module in (sys.modules["gluonbook.cli.arguments"], cli_parser):
        monkeypatch.setattr(module, "in_notebook", lambda: True)
    out = Path(options_of("lenet", []).out)
    assert (Path.cwd() / out).resolve() == clone / "runs" and not out.is_absolute()
    exercise = Exercise("name", "A question?", [], limit=3)
    assert Path(exercise.options.out).resolve() == clone / "runs" / "exercises"
    assert options_of("lenet", ["--out", "runs"]).out == "runs"
    monkeypatch.chdir(clone)
    assert Path(options_of("lenet", []).out) == Path("runs")


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
    assert options_of("lenet", argv).limit_test == tested


# --- the options of a saved run ---------------------------------------------------------------


SMALL = ("--batch-size", "16", "--seed", "4", "--device", "cpu")


def run(tmp_path, *options):
    """The folder of a run of LeNet's chapter."""
    argv = (*SMALL, "--out", str(tmp_path), *options)
    return run_chapter("lenet", *argv)["args"].run.folder


def test_the_options_of_a_run_are_taken_from_it(tiny, tmp_path):
    chosen = ("--lr", "0.25", "--save-every", "3", "--epochs", "1", "--limit", "40")
    folder = run(tmp_path, *chosen)
    resumed = options_of("lenet", ["--resume", str(folder)])
    assert resumed.lr == 0.25
    assert (resumed.save_every, resumed.limit, resumed.seed) == (3, 40, 4)
    assert (resumed.batch_size, resumed.num_epochs) == (16, 1)
    assert options_of("lenet", ["--resume", str(folder), "--lr", "0.25"]).lr == 0.25


def test_a_run_from_before_the_option_is_tested_on_all_images(tiny, tmp_path):
    folder = run(tmp_path, "--epochs", "1", "--limit", "40")
    config = json.loads((folder / "config.json").read_text())
    del config["options"]["limit_test"]
    files.write(folder / "config.json", json.dumps(config))
    assert options_of("lenet", ["--resume", str(folder)]).limit_test == 10_000


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--lr", "0.5"], "has --lr 0.9, not 0.5: leave --lr out"),
        (["--limit", "20"], "has --limit None, not 20"),
        (["--batch-size", "8"], "has --batch-size 16, not 8"),
        (["--size", "32"], "has --size 28, not 32"),
        (["--seed", "5"], "has --seed 4, not 5"),
    ],
)
def test_another_recipe_is_refused_by_both_values(given, told, tiny, tmp_path):
    folder = run(tmp_path, "--epochs", "1")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(Failure, match=told):
        options_of("lenet", ["--resume", str(folder), *given])
    assert before == {path: path.read_bytes() for path in folder.iterdir()}


def test_another_section_is_refused(tiny, tmp_path):
    folder = run(tmp_path, "--epochs", "1")
    with pytest.raises(Failure, match="holds a run of lenet, not of resnet: use the script of"):
        options_of("resnet", ["--resume", str(folder)])


@pytest.mark.parametrize(
    "changed", [{"recipe": "stable"}, {"edition": "pytorch"}, {"hybridize": False}]
)
def test_a_run_of_the_trainer_is_resumed_by_it(changed, tmp_path):
    config_of(tmp_path, changed)
    told = f"resume it with `python -m gluonbook.train lenet --resume {re.escape(str(tmp_path))}`"
    with pytest.raises(Failure, match=told):
        options_of("lenet", ["--resume", str(tmp_path)])


def test_resuming_nothing(tmp_path):
    with pytest.raises(Failure, match="there is no folder .*none: name that of a run"):
        options_of("lenet", ["--resume", str(tmp_path / "none")])
    with pytest.raises(Failure, match="config.json is missing"):
        options_of("lenet", ["--resume", str(tmp_path)])


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
        options_of("lenet", ["--resume", str(tmp_path)])


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
        options_of("lenet", ["--resume", str(folder)])
