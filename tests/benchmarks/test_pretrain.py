"""A net that comes with the package: trained, stopped, gone on with, chosen and written."""

from __future__ import annotations

from functools import partial
import importlib
import json
from pathlib import Path

import gluonbook as gb
from gluonbook.data import fashion_mnist as fm
from gluonbook.predictions.classifier import Classifier
from gluonbook.recipes import LONG, RECIPES
from gluonbook.runs.history import History
from gluonbook.zoo import pretrained
from mxnet import nd
import numpy as np
import pytest
from safetensors import numpy as safetensors

from ..conftest import NO_TORCH

pytestmark = pytest.mark.pytorch
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def pretrain(monkeypatch):
    pytest.importorskip("torch", reason=NO_TORCH)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("pretrain")


@pytest.mark.parametrize("name", ["densenet", "lenet", "resnet20", "wideresnet"])
def test_pytorchs_form_of_each_net_is_the_gluon_net(pretrain, name):
    from gluonbook.pytorch.transfer import to_gluon
    import torch

    pretraining = pretrain.PRETRAININGS[name]
    torch_net, net = pretraining.build(), gb.get_model(pretraining.model, 10)
    to_gluon(torch_net, net)
    size = pretraining.recipe.size
    X = np.random.uniform(size=(2, 1, size, size)).astype(np.float32)
    with torch.no_grad():
        expected = torch_net.eval()(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(
        net(nd.array(X)).asnumpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


@pytest.fixture
def scripts(pretrain, monkeypatch, tiny):
    """Both scripts, with a LeNet that is trained for three epochs on 32 images, whole or erased.

    One of it is taught by the one with whole images in its last two epochs.
    """
    trained_nets = importlib.import_module("trained_nets")
    recipe = RECIPES["lenet"]._replace(
        lr=0.01, batch_size=16, num_epochs=3, tuning=LONG["resnet"].tuning
    )
    build = partial(pretrain.nets.lenet, edition="gluon")
    small = pretrain.Pretraining("lenet", recipe, build)
    teaching = pretrain.Teaching("small", (2, 3), epochs=2)
    nets = {
        "small": small,
        "erased": small._replace(erase=0.5),
        "small-taught": small._replace(teaching=teaching),
    }
    for script in (pretrain, trained_nets):
        monkeypatch.setattr(script, "PRETRAININGS", nets)
    device_training = importlib.import_module("device_training")
    monkeypatch.setattr(device_training, "HELD_OUT", 16)
    for script in (device_training, trained_nets):
        monkeypatch.setattr(script, "fashion_mnist", lambda: tiny)
    return pretrain, trained_nets


def call(script, monkeypatch, *argv):
    monkeypatch.setattr("sys.argv", ["x", *map(str, argv)])
    script.main()


def weights_in(folder):
    return safetensors.load_file(folder / "weights.safetensors")


def assert_equal(some, others):
    assert some.keys() == others.keys()
    for name, values in some.items():
        np.testing.assert_array_equal(values, others[name])


@pytest.mark.parametrize("name", ["small", "erased", "small-taught"])
def test_a_training_that_was_stopped_ends_with_the_same_weights(
    scripts, monkeypatch, tmp_path, name
):
    import torch

    pretrain, _ = scripts
    options = (name, "--seeds", "1", "--device", "cpu", "--runs")
    if name == "small-taught":
        with pytest.raises(
            SystemExit, match=r"small-seed2.*run `python .*pretrain.py small --seeds 2"
        ):
            call(pretrain, monkeypatch, *options, tmp_path / "whole")
        for runs in ("whole", "parts"):
            teachers = ("small", "--seeds", "2", "3", *options[3:])
            call(pretrain, monkeypatch, *teachers, tmp_path / runs)
    call(pretrain, monkeypatch, *options, tmp_path / "whole")

    class Stop(Exception):
        pass

    run = pretrain.Training.run

    def stopped(training, epochs):
        for reached in run(training, epochs):
            yield reached
            if len(reached) == 2:
                raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(pretrain.Training, "run", stopped)
        call(pretrain, patch, *options, tmp_path / "parts")
    parts = tmp_path / "parts" / f"{name}-seed1"
    state = torch.load(parts / "state.pt", weights_only=True)
    assert len(state["epochs"]) == 2 and state["trained_on"] == {"CPU": 2}
    torch.save({**state, "by": ("another recipe", 0.0)}, parts / "state.pt")
    with pytest.raises(SystemExit, match=r"state\.pt is of a training by another recipe"):
        call(pretrain, monkeypatch, *options, tmp_path / "parts")
    torch.save({**state, "trained_on": {"A GPU": 2}}, parts / "state.pt")
    assert not (parts / "training.json").exists()
    call(pretrain, monkeypatch, *options, tmp_path / "parts")
    assert [epoch.epoch for epoch in History.read(parts / "history.csv")] == [1, 2, 3]
    facts = [
        json.loads((folder / "training.json").read_text())
        for folder in (tmp_path / "whole" / f"{name}-seed1", parts)
    ]
    assert [each["trained_on"] for each in facts] == ["CPU", "A GPU: 2, CPU: 1"]
    assert_equal(weights_in(tmp_path / "whole" / f"{name}-seed1"), weights_in(parts))


def test_a_taught_net_is_as_without_teachers_until_they_teach(scripts, monkeypatch, tmp_path):
    pretrain, _ = scripts
    options = ("--device", "cpu", "--runs", tmp_path)
    call(pretrain, monkeypatch, "small", "--seeds", 1, 2, 3, *options)
    call(pretrain, monkeypatch, "small-taught", "--seeds", 1, *options)
    alone, taught = (
        [epoch[:4] for epoch in History.read(tmp_path / f"{name}-seed1" / "history.csv")]
        for name in ("small", "small-taught")
    )
    assert taught[0] == alone[0] and taught[1] != alone[1]
    facts = json.loads((tmp_path / "small-taught-seed1" / "training.json").read_text())
    assert facts["teaching"] == {"name": "small", "seeds": [2, 3], "epochs": 2}


def test_trainings_in_turns_are_those_alone(scripts, monkeypatch, tmp_path, capsys):
    pretrain, _ = scripts
    monkeypatch.setattr(importlib.import_module("device_training"), "IN_A_ROW", 1)
    options = ("--device", "cpu", "--epochs", "2", "--runs")
    call(pretrain, monkeypatch, "small", "erased", "--seeds", 1, *options, tmp_path, "--at-once", 2)
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition(", loss")[0] for line in printed] == [
        f"{name}, seed 1: epoch {epoch}" for epoch in (1, 2) for name in ("small", "erased")
    ]
    found = {}
    for name in ("small", "erased"):
        folder = tmp_path / f"{name}-epochs2-seed1"
        facts = json.loads((folder / "training.json").read_text())
        assert facts.get("random_erasing") == {"small": None, "erased": 0.5}[name]
        assert len(History.read(folder / "history.csv")) == 2
        found[name] = weights_in(folder)
        python, script, *argv = facts["command"].split()
        assert (python, script) == ("python", "benchmarks/pretrain.py")
        call(pretrain, monkeypatch, *argv, "--runs", tmp_path / "alone")
        assert_equal(found[name], weights_in(tmp_path / "alone" / folder.name))
    assert any((found["small"][key] != found["erased"][key]).any() for key in found["small"])


def test_a_seed_gives_the_same_weights_whatever_was_drawn_before(pretrain):
    import torch

    device_training = importlib.import_module("device_training")
    _, recipe, build, *_ = pretrain.PRETRAININGS["lenet"]
    images = device_training.Images(torch.zeros(4, 1, 28, 28), torch.zeros(4, dtype=torch.int64))
    states = []
    for seed in (1, 1, 2):
        torch.rand(7)
        training = device_training.Training(recipe, build, images, images, seed=seed)
        states.append(training.net.state_dict())
    first, again, other = states
    for name, values in first.items():  # the biases too, which PyTorch draws as it builds the net
        assert torch.equal(values, again[name]) and not torch.equal(values, other[name])


def test_the_seed_with_most_held_out_images_right_is_written(
    scripts, tiny, monkeypatch, tmp_path, capsys
):
    pretrain, trained_nets = scripts
    seeds = ["1", "2", "3"]
    call(pretrain, monkeypatch, "small", "--seeds", *seeds, "--device", "cpu", "--runs", tmp_path)
    call(pretrain, monkeypatch, "small", "--seeds", "3", "--device", "cpu", "--runs", tmp_path)
    assert capsys.readouterr().out.endswith("small-seed3 is there already\n")
    taught = ("small-taught", "--seeds", "1", "--device", "cpu", "--runs", tmp_path)
    call(pretrain, monkeypatch, *taught)
    out = tmp_path / "out"
    for script in (trained_nets, pretrained):
        monkeypatch.setattr(script, "FOLDER", tmp_path / "weights")
    call(trained_nets, monkeypatch, "small", "--runs", tmp_path, "--out", out)
    card = json.loads((tmp_path / "weights" / "small.json").read_text())

    # The same by hand: PyTorch's weights, in 16 bits but for the biases, in the Gluon net.
    right = {}
    folders = {seed: f"small-seed{seed}" for seed in seeds} | {"1-taught": "small-taught-seed1"}
    for seed, folder in folders.items():
        net = gb.lenet()
        net.initialize()
        net(nd.zeros((1, 1, 28, 28)))
        path = tmp_path / folder / "weights.safetensors"
        stored = safetensors.load_file(path)
        places = sorted({int(name.partition(".")[0]) for name in stored})
        names = [f"{place}.{role}" for place in places for role in ("weight", "bias")]
        for param, values in zip(net.collect_params().values(), map(stored.get, names)):
            half = values.astype(np.float16).astype(np.float32)
            param.set_data(nd.array(values if values.ndim == 1 else half))
        held_out = fm.Split(*(part[-16:] for part in tiny.train))
        for split in (held_out, tiny.test):
            predicted = Classifier(net, 28).probabilities(split.images).argmax(axis=1)
            right.setdefault(seed, []).append(float((predicted == split.labels).mean()))
    found = {seed: [row["held_out"], row["test"]] for seed, row in card["seeds"].items()}
    assert found == right
    best = max(right, key=lambda seed: right[seed][0])
    assert card["shipped"] == best and card["accuracy"] == right[best][1]
    assert str(card["training"]["seed"]) == best.partition("-")[0]

    shipped = pretrained.Pretrained("small", "lenet", 28, card["sha256"])
    net = gb.lenet()
    pretrained.load(net, shipped)
    predicted = Classifier(net, 28).probabilities(tiny.test.images).argmax(axis=1)
    assert np.array(card["confusion"])[tiny.test.labels[0], predicted[0]] > 0
    assert (predicted == tiny.test.labels).mean() == card["accuracy"]
    assert f"seed {best}: {card['accuracy']:.4f} |" in (out / "trained_nets.md").read_text()


def test_the_card_states_the_probability_of_erasing(scripts, monkeypatch, tmp_path):
    pretrain, trained_nets = scripts
    options = ("--seeds", 1, "--device", "cpu", "--runs", tmp_path)
    call(pretrain, monkeypatch, "small", "erased", *options)
    monkeypatch.setattr(trained_nets, "FOLDER", tmp_path / "weights")
    call(trained_nets, monkeypatch, "small", "erased", "--runs", tmp_path, "--out", tmp_path)
    small, erased = (
        json.loads((tmp_path / "weights" / f"{name}.json").read_text())["training"]
        for name in ("small", "erased")
    )
    assert erased["random_erasing"] == 0.5 and "random_erasing" not in small


def test_without_a_training_one_sentence_says_what_to_do(scripts, monkeypatch, tmp_path):
    _, trained_nets = scripts
    with pytest.raises(SystemExit, match=r"no training of small that has ended: run .*pretrain.py"):
        call(trained_nets, monkeypatch, "small", "--runs", tmp_path, "--out", tmp_path)
