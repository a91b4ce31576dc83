"""The trainer: any net by a recipe, into a run's folder."""

from __future__ import annotations

import json
import re
import sys

import gluonbook as gb
from gluonbook import recipes
from gluonbook.cli import options, trainer
from gluonbook.export import import_symbol
from gluonbook.predict import load_run
from gluonbook.recipes import RECIPES, recipes_of
from gluonbook.runs.history import History
from gluonbook.summary import layer_table
from gluonbook.system import files
from gluonbook.system.errors import Failure
from gluonbook.zoo.models import UnknownModel
from mxnet import nd
import numpy as np
import pytest

from ..conftest import python, run_chapter

SMALL = ("--limit", "16", "--batch-size", "8", "--seed", "4", "--device", "cpu")


@pytest.fixture(autouse=True)
def _keep_excepthook(monkeypatch):
    monkeypatch.setattr("sys.excepthook", sys.excepthook)


def train(name, tmp_path, *argv):
    """The folder of a run of the trainer, and its figures without the times."""
    if "--resume" not in argv:
        argv = (*SMALL, *argv, "--out", str(tmp_path))
    assert trainer.main([name, *argv]) == 0
    [folder] = tmp_path.iterdir()
    return folder, [row[:4] for row in History.read(folder / "history.csv")]


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


def test_it_trains_a_section_as_its_chapter_does(tiny, tmp_path):
    """The same weights bit for bit, and the same files."""
    argv = (*SMALL, "--epochs", "2", "--size", "32", "--out", str(tmp_path / "chapter"))
    chapter = run_chapter("resnet", *argv)["args"].run.folder
    folder, _ = train("resnet", tmp_path / "trainer", "--epochs", "2", "--size", "32")
    assert (folder / "resnet.params").read_bytes() == (chapter / "resnet.params").read_bytes()
    names = [sorted(path.name for path in each.iterdir()) for each in (folder, chapter)]
    assert names[0] == names[1]
    assert config_of(folder)["net"] == config_of(chapter)["net"]


def test_it_goes_on_with_a_run_of_the_chapter(tiny, tmp_path):
    argv = (*SMALL, "--epochs", "1", "--out", str(tmp_path))
    folder = run_chapter("lenet", *argv)["args"].run.folder
    again, figures = train("lenet", tmp_path, "--resume", str(folder), "--epochs", "2")
    assert again == folder and len(figures) == 2


@pytest.mark.parametrize("form", [[], ["--no-hybridize"], ["--edition", "pytorch"]])
def test_a_stop_and_a_resume_give_the_figures_of_a_whole_run(form, tiny, tmp_path):
    whole, expected = train("lenet", tmp_path / "whole", "--epochs", "3", *form)
    folder, _ = train("lenet", tmp_path / "two", "--epochs", "1", *form)
    _, figures = train("lenet", tmp_path / "two", "--resume", str(folder), "--epochs", "3")
    assert figures == expected
    assert (folder / "lenet.params").read_bytes() == (whole / "lenet.params").read_bytes()


def test_it_prints_the_layers_and_then_the_books_lines(tiny, tmp_path, capsys):
    train("lenet", tmp_path, "--epochs", "1")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "shape", "parameters", "multiply-adds"]
    assert lines[8].split() == ["total", "44,426", "281,640"]
    assert lines[-2] == "training on cpu(0)" and lines[-1].startswith("epoch 1, loss ")


def test_the_edition_is_kept_and_found_again(tiny, tmp_path):
    folder, _ = train("lenet", tmp_path, "--epochs", "1", "--edition", "pytorch")
    assert "61,706" in (folder / "layers.txt").read_text().splitlines()[-1]
    assert load_run(folder).net[0].weight.shape == (6, 1, 5, 5)
    assert options.of_trainer("lenet", ["--resume", str(folder)]).edition == "pytorch"
    with pytest.raises(Failure, match="has --edition pytorch, not gluon: leave --edition out"):
        options.of_trainer("lenet", ["--resume", str(folder), "--edition", "gluon"])


def test_the_stable_recipe_is_chosen_by_name(tiny, tmp_path):
    found = options.of_trainer("nin", ["--recipe", "stable", "--epochs", "2"])
    assert (found.lr, found.num_epochs, found.batch_size) == (0.0005, 2, 128)
    assert options.of_trainer("nin", ["--recipe", "stable", "--lr", "0.1"]).lr == 0.1
    folder, _ = train("nin", tmp_path, "--recipe", "stable", "--size", "96", "--epochs", "1")
    config = config_of(folder)
    assert (config["optimizer"], config["initializer"]) == ("adam", "MSRAPrelu")
    with pytest.raises(Failure, match="has --recipe stable, not book: leave --recipe out"):
        options.of_trainer("nin", ["--resume", str(folder), "--recipe", "book"])
    assert options.of_trainer("nin", ["--resume", str(folder)]).recipe == "stable"


def test_the_tuned_recipe_keeps_its_epochs(tiny, tmp_path):
    """Its learning rate is 0 after the last, so more of them would change nothing."""
    chosen = ("--recipe", "tuned", "--size", "32", "--epochs", "2")
    folder, figures = train("resnet", tmp_path, *chosen)
    assert len(figures) == 2
    tuning = config_of(folder)["tuning"]
    assert (tuning["momentum"], tuning["smoothing"]) == (0.9, 0.1)
    found = options.of_trainer("resnet", ["--resume", str(folder), "--epochs", "2"])
    assert found.recipe == "tuned"
    with pytest.raises(Failure, match="has --epochs 2, not 3: leave --epochs out"):
        options.of_trainer("resnet", ["--resume", str(folder), "--epochs", "3"])


def test_the_long_recipe_moves_its_images(tiny, tmp_path):
    folder, _ = train("resnet", tmp_path, "--recipe", "long", "--size", "32", "--epochs", "1")
    tuning = config_of(folder)["tuning"]
    assert (tuning["augment"], tuning["weight_decay"]) == (True, 5e-4)
    train("resnet", tmp_path, "--resume", str(folder))  # flips and shifts are facts of a run


def test_the_small_recipe_trains_another_net_which_predict_finds_again(tiny, tmp_path):
    folder, _ = train("resnet", tmp_path, "--recipe", "small", "--epochs", "1")
    assert options.of_trainer("resnet", ["--resume", str(folder)]).size == 28
    images = tiny.test.images[:2]
    net = import_symbol(folder / "resnet")
    expected = net(nd.array(images / 255.0)).softmax().asnumpy()
    found = load_run(folder).probabilities(images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert "272,186" in (folder / "layers.txt").read_text().splitlines()[-1]


def test_a_net_of_the_zoo_trains_goes_on_and_classifies(tiny, tmp_path):
    chosen = ("--size", "32", "--epochs", "1")
    folder, _ = train("cifar_resnet20_v1", tmp_path, *chosen)
    again = ("--resume", str(folder), "--epochs", "2")
    _, figures = train("cifar_resnet20_v1", tmp_path, *again)
    assert len(figures) == 2
    assert load_run(folder).probabilities(tiny.test.images).shape == (32, 10)
    assert (folder / "cifar_resnet20_v1-symbol.json").exists()


@pytest.mark.parametrize("name", gb.list_models())
def test_every_net_takes_the_images_of_its_recipe(name):
    recipe = recipes_of(name)["book"]
    shape = (1, 1, recipe.size, recipe.size)
    assert layer_table(recipe.net(), shape)[-1].output_shape == (1, 10)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ([], "name the net first, such as resnet"),
        (["--epochs", "1"], "name the net first, such as resnet"),
        (["lenet", "--recipe", "long"], "--recipe: invalid choice: 'long'"),
        (["resnet", "--recipe", "stable"], "--recipe: invalid choice: 'stable'"),
        (["resnet", "--edition", "keras"], "--edition: invalid choice: 'keras'"),
    ],
)
def test_a_wrong_command_is_one_sentence_and_exit_2(argv, told, capsys):
    with pytest.raises(SystemExit) as exit_:
        trainer.main(argv)
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert told in error and error.startswith("error: ") and error.count("\n") == 1


def test_a_net_that_does_not_exist_is_told_with_the_nearest():
    with pytest.raises(UnknownModel, match="no model 'resnt': the nearest names are resnet,"):
        trainer.main(["resnt"])


def test_the_help_tells_what_each_recipe_has(capsys):
    with pytest.raises(SystemExit):
        trainer.main(["resnet", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "10 epochs with momentum, a schedule and label smoothing; long:" in text
    assert (
        "20 epochs with momentum, weight decay, a schedule, moved images and label smoothing; "
        "small: ResNet-20, sgd, learning rate 0.1, Xavier weights, 50 epochs with " in text
    )
    assert "label smoothing (default: book)" in text
    assert "passes over the training images (default: 5; tuned 10, long 20, small 50)" in text
    assert "learning rate (default: 0.05; tuned 0.1, long 0.1, small 0.1)" in text
    assert "images in a batch (default: 256; tuned 128, long 128, small 128)" in text
    assert "height and width of the images (default: 96; small 28)" in text


def test_the_help_lists_the_sections_and_where_the_other_names_are(capsys):
    with pytest.raises(SystemExit) as exit_:
        trainer.main(["--help"])
    text = capsys.readouterr().out
    assert exit_.value.code == 0
    assert "list_models" in text
    for section, recipe in RECIPES.items():
        told = f"{recipe.batch_size} images of {recipe.size} pixels in a batch\n"
        assert re.search(rf"\n  {section} +5 epochs, {told}", text)


#: Options that only some nets offer: those that leave a choice.
OFFERED = {
    "lenet": {"--edition", "--recipe"},
    "alexnet": {"--edition"},
    "nin": {"--recipe"},
    "googlenet": {"--edition"},
    "resnet": {"--recipe"},
    "densenet": {"--edition", "--recipe"},
    "resnet50_v1b": set(),
}


@pytest.mark.parametrize("name", OFFERED)
def test_the_help_offers_no_option_without_a_choice(name, capsys):
    with pytest.raises(SystemExit):
        trainer.main([name, "--help"])
    lines = capsys.readouterr().out.splitlines()
    offered = {line.split()[0] for line in lines if line.strip().startswith("--")}
    assert offered & {"--recipe", "--edition"} == OFFERED[name]
    assert {"--no-hybridize", "--resume", "--amp", "--limit", "--out"} <= offered


def test_another_optimizer_of_a_later_version_is_refused(tiny, tmp_path, monkeypatch):
    folder, _ = train("lenet", tmp_path, "--epochs", "1")
    monkeypatch.setitem(RECIPES, "lenet", RECIPES["lenet"]._replace(optimizer="adam"))
    with pytest.raises(Failure, match="has the optimizer sgd, and this version adam"):
        options.of_trainer("lenet", ["--resume", str(folder)])


def test_a_run_from_before_there_was_tuning_had_none(tiny, tmp_path, monkeypatch):
    folder, _ = train("resnet", tmp_path, "--epochs", "1", "--size", "32")
    config = config_of(folder)
    del config["tuning"]
    files.write(folder / "config.json", json.dumps(config))
    assert options.of_trainer("resnet", ["--resume", str(folder)]).recipe == "book"
    tuned = recipes.TUNED["resnet"]
    monkeypatch.setitem(RECIPES, "resnet", RECIPES["resnet"]._replace(tuning=tuned.tuning))
    with pytest.raises(Failure, match="has the tuning .*, and this version"):
        options.of_trainer("resnet", ["--resume", str(folder)])


def test_the_books_function_keeps_its_name_beside_the_command():
    code = (
        "import gluonbook as gb, importlib; before = gb.train; "
        "module = importlib.import_module('gluonbook.train'); import gluonbook.train; "
        "print(gb.train is before, module is before, gb.train.__name__)"
    )
    assert python(code).stdout.split() == ["True", "True", "train"]


@pytest.mark.parametrize("recipe", [["tuned"], {"tuned": 1}, "best", True])
def test_a_damaged_recipe_of_a_run_is_one_sentence(recipe, tiny, tmp_path):
    folder, _ = train("resnet", tmp_path, "--epochs", "1", "--size", "32")
    config = config_of(folder)
    config["options"]["recipe"] = recipe
    files.write(folder / "config.json", json.dumps(config))
    with pytest.raises(Failure, match="config.json is damaged: argument --recipe"):
        options.of_trainer("resnet", ["--resume", str(folder)])
