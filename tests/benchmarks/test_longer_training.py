"""The training that a GPU takes as a graph is that of the recipe: against NumPy and MXNet."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

from gluonbook.data.augmentation import flip_and_shift
from gluonbook.training.tuned import tuned
from mxnet import autograd, nd
from mxnet.gluon import nn
import numpy as np
import pytest

from ..conftest import NO_TORCH

pytestmark = pytest.mark.pytorch
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason=NO_TORCH)


@pytest.fixture
def longer(torch, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("longer_training")


@pytest.fixture
def device_training(longer):
    return importlib.import_module("device_training")


def test_images_are_moved_as_in_the_loader(torch, device_training):
    images = np.random.RandomState(0).randint(256, size=(50, 1, 28, 28)).astype(np.uint8)
    expected = flip_and_shift(images, np.random.RandomState(1))
    random = np.random.RandomState(1)  # draws in the same order
    flips, down, right = random.randint(2, size=50), *random.randint(-2, 3, size=(2, 50))
    found = device_training.moved(*map(torch.from_numpy, (images, flips, down, right)))
    np.testing.assert_array_equal(found.numpy(), expected)


def test_rectangles_are_those_of_the_paper(device_training):
    n, height, width = 20_000, 28, 24
    top, bottom, left, right = device_training.draw_rectangles(
        n, height, width, np.random.RandomState(0), 0.5
    )
    drawn = bottom > 0
    for edge in (top, bottom, left, right):
        assert edge.dtype == np.int64 and not edge[~drawn].any()
    # Four standard deviations of a coin that is tossed n times.
    assert abs(drawn.mean() - 0.5) < 4 * 0.5 / n**0.5
    assert top.min() == left.min() == 0 and bottom.max() == height and right.max() == width
    tall, wide = (bottom - top)[drawn], (right - left)[drawn]
    # Both lengths are rounded, by half a pixel at most.
    assert ((tall - 0.5) * (wide - 0.5) <= 0.4 * height * width).all()
    assert ((tall + 0.5) * (wide + 0.5) >= 0.02 * height * width).all()
    assert ((tall - 0.5) / (wide + 0.5) <= 1 / 0.3).all()
    assert ((tall + 0.5) / (wide - 0.5) >= 0.3).all()
    areas = tall * wide / (height * width)
    assert areas.min() < 0.03 and areas.max() > 0.37


def test_rectangles_are_erased(torch, device_training):
    images = np.random.RandomState(0).randint(1, 256, size=(50, 1, 28, 24)).astype(np.uint8)
    rectangles = device_training.draw_rectangles(50, 28, 24, np.random.RandomState(1), 0.5)
    expected = images.copy()
    for image, (top, bottom, left, right) in zip(expected, rectangles.T):
        image[0, top:bottom, left:right] = 0
    found = device_training.erased(*map(torch.from_numpy, (images, *rectangles))).numpy()
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    whole = (found == images).all(axis=(1, 2, 3))
    assert 0 < whole.sum() < 50


def test_erasing_changes_no_other_draw(torch, longer, device_training):
    pixels = torch.ones(60, 1, 28, 28, dtype=torch.uint8)
    images = device_training.Images(pixels, torch.zeros(60, dtype=torch.int64))
    recipe = longer.Setting("both", 28, 1, seed=1).recipe
    without, again, with_erasing = (
        device_training.Training(recipe, torch.nn.Identity, images, images, seed=1, erase=erase)
        for erase in (0.0, 0.5, 0.5)
    )
    for training in (without, again, with_erasing):
        training.begin_epoch(3)
    assert torch.equal(with_erasing.order, again.order)
    assert without.order.shape == (4, 60) and torch.equal(with_erasing.order[:4], without.order)
    assert 0 < (with_erasing.order[5] > 0).sum() < 60


def test_a_taught_step_is_by_the_mean_answer_of_the_teachers(torch, longer, device_training):
    """Of a net that multiplies its 10 pixels by a number each, which is 1 at first."""

    class Scale(torch.nn.Module):
        def __init__(self, scales):
            super().__init__()
            self.scales = torch.nn.Parameter(torch.tensor([scales], dtype=torch.float32))

        def forward(self, x):
            return x.flatten(1) * self.scales

    random = np.random.RandomState(0)
    pixels = random.randint(256, size=(6, 1, 1, 10))
    images = device_training.Images(torch.from_numpy(pixels), torch.full((6,), 3))
    recipe = longer.RECIPE._replace(
        lr=0.5,
        batch_size=6,
        num_epochs=1,
        tuning=longer.RECIPE.tuning._replace(augment=False, weight_decay=0),
    )
    scales = random.normal(size=(2, 10))
    training = device_training.Training(
        recipe,
        lambda: Scale([1.0] * 10),
        *(images, images),
        seed=1,
        teachers=[Scale(each) for each in scales.tolist()],
        taught_epochs=1,
    )
    training.begin_epoch(1)
    training.take(6)

    def softmax(z):
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)

    x = pixels.reshape(6, 10) / 255
    answers = (softmax(x * scales[0]) + softmax(x * scales[1])) / 2
    loss = -(answers * np.log(softmax(x))).sum(axis=1).mean()
    gradient = ((softmax(x) - answers) * x).mean(axis=0)  # of the cross-entropy, by its formula
    assert float(training.loss_sum) / 6 == pytest.approx(loss, rel=1e-5)
    expected = 1 - float(training.rates[0]) * gradient
    found = training.net.scales.detach().numpy()
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-6)


def test_the_steps_are_those_of_mxnets_trainer(torch, longer, device_training, monkeypatch):
    """One dense layer, over two epochs of two batches, the second of them smaller."""
    random = np.random.RandomState(0)
    pixels = torch.from_numpy(random.randint(256, size=(200, 1, 4, 4)).astype(np.uint8))
    images = device_training.Images(pixels, torch.from_numpy(random.randint(10, size=200)))
    tuning = longer.RECIPE.tuning._replace(weight_decay=0.1)
    monkeypatch.setitem(longer.CHANGES, "weight decay", tuning)
    recipe = longer.Setting("weight decay", 4, 2, seed=1).recipe
    training = device_training.Training(
        recipe,
        lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 10)),
        *(images, images),
        seed=1,
    )

    dense = nn.Dense(10, in_units=16)
    dense.initialize()
    before, bias = (param.detach().numpy().copy() for param in training.params)
    dense.weight.set_data(nd.array(before))
    dense.bias.set_data(nd.array(bias))
    trainer, loss = tuned(dense, longer.RECIPE.lr, tuning, num_steps=4)
    orders = []
    begin_epoch = training.begin_epoch

    def remember(number):
        begin_epoch(number)
        orders.append(training.order[0].numpy().copy())

    monkeypatch.setattr(training, "begin_epoch", remember)
    *_, epochs = training.run()
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    for order in orders:
        assert sorted(order) == list(range(200))
        losses = []
        for numbers in (order[:128], order[128:]):
            X = nd.array(pixels.numpy()[numbers].reshape(-1, 16) / 255)
            y = nd.array(images.labels.numpy()[numbers])
            with autograd.record():
                value = loss(dense(X), y)
            value.backward()
            trainer.step(len(numbers))
            losses.append(value.asnumpy())
    assert epochs[-1].loss == pytest.approx(np.concatenate(losses).mean(), rel=0.01)
    weight = training.params[0].detach().numpy()
    expected = dense.weight.data().asnumpy()
    # The products are in bfloat16, whose numbers are 0.4 % apart.
    assert np.abs(weight - expected).max() < 0.02 * np.abs(expected - before).max()


def test_trainings_take_turns_and_the_next_begins_when_one_ends(device_training):
    log = []

    def training(name, num_steps):
        for step in range(num_steps):
            log.append(f"{name}{step}")
            yield
        return name

    lengths = {"a": 1, "b": 3, "c": 0, "d": 2}
    ended = device_training.in_turns((training(*each) for each in lengths.items()), at_once=2)
    assert list(ended) == ["a", "c", "b", "d"]
    assert log == ["a0", "b0", "b1", "b2", "d0", "d1"]


def test_a_second_call_adds_to_the_table(
    longer, device_training, dataset, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(device_training, "HELD_OUT", 20)
    chosen = ["x", "--device", "cpu", "--size", "28", "--limit", "40", "--out", str(tmp_path)]
    for change, seeds in (("both", ["1"]), ("tuned", ["1", "2"])):
        options = ["--changes", change, "--epochs", "1", "--seeds", *seeds]
        monkeypatch.setattr("sys.argv", [*chosen, *options])
        longer.main()
    rows = json.loads((tmp_path / "longer_training.json").read_text())["rows"]
    assert [(row["change"], row["seed"]) for row in rows] == [
        ("tuned", 1),
        ("tuned", 2),
        ("both", 1),
    ]
    for row in rows:
        [epoch] = row["epochs"]
        assert 1.5 < epoch["loss"] < 10 and 0 <= epoch["test_acc"] <= 1
    last = capsys.readouterr().out
    accuracy = [f"{row['epochs'][0]['test_acc']:.4f}" for row in rows]
    assert f"| {accuracy[0]}, {accuracy[1]} |" in last
    assert "--size 28 --epochs 1 --changes tuned both --seeds 1 2" in last
    assert (tmp_path / "longer_training.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_gpu_one_sentence_says_what_to_do(torch, longer, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["x"])
    with pytest.raises(SystemExit, match="PyTorch finds no GPU here: --device cpu"):
        longer.main()
