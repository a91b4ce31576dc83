"""The sentence comes when the loss stays that of guessing, once, and not otherwise."""

from __future__ import annotations

import logging
import math

import gluonbook as gb
from gluonbook.training.stuck_loss import StuckLoss
import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest

BATCH = np.arange(20) % 10


def sentences(losses, labels=BATCH):
    stuck_loss = StuckLoss()
    return [text for text in (stuck_loss.add(loss, labels) for loss in losses) if text]


def test_a_loss_that_stays_at_ln_10_is_told_once_within_a_hundred_batches():
    stuck_loss = StuckLoss()
    told = [stuck_loss.add(math.log(10), BATCH) for _ in range(300)]
    [place] = [i for i, text in enumerate(told) if text]
    assert place < 100
    assert "2.303" in told[place] and "10 classes" in told[place] and "\n" not in told[place]


@pytest.mark.parametrize(
    ("losses", "labels"),
    [
        (np.linspace(2.303, 2.2, 300), BATCH),
        # Learned already, as in fine-tuning: it does not fall either.
        (np.full(300, 0.3), BATCH),
        # Nine of ten of one class: guessing scores 0.325, and this net is below that.
        (np.full(300, 0.30), np.array([0] * 9 + [1])),
        (np.full(300, 5.0), np.linspace(0, 1, 20)),
        (np.full(300, 5.0), np.zeros((20, 2))),
        (np.full(300, 0.0), np.zeros(20)),
        (np.full(80, 2.303), BATCH),
        (np.full(300, 8.5), BATCH),
        (np.full(300, 650.0), np.arange(64)),
    ],
    ids=[
        *("falls", "low", "unequal classes", "regression", "2-d labels", "one class", "too few"),
        *("diverges", "regression to whole numbers"),
    ],
)
def test_no_sentence(losses, labels):
    assert sentences(losses, labels) == []


def test_guessing_is_the_entropy_of_the_labels():
    labels = np.array([0] * 9 + [1])
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert len(sentences(np.full(100, entropy), labels)) == 1
    assert sentences(np.full(100, 0.98 * entropy), labels) == []


def end(losses, labels=BATCH, *, accuracy=0.1, lr=0.9, **options):
    stuck_loss = StuckLoss(**options)
    for loss in losses:
        stuck_loss.add(loss, labels)
    return stuck_loss.end(accuracy, lr)


def test_a_short_training_that_has_learned_nothing_is_told_at_its_end():
    """LeNet on 6,000 images, three epochs of 24 batches: too few for the early sentence."""
    told = end(np.full(72, 2.303))
    assert "2.303, that of guessing among 10 classes" in told and "72 batches" in told
    assert "\n" not in told
    assert end(np.full(300, 2.303)) is None  # told early
    assert end(np.full(300, 2.303), early=False) is not None  # resumed: it was not
    assert end(np.linspace(2.303, 1.5, 72)) is None


def test_a_loss_above_guessing_at_the_end_names_a_lower_learning_rate():
    told = end(np.full(300, 743.0), lr=100)
    assert "743" in told and "2.303" in told and "try 10" in told
    assert end(np.full(3, 743.0), lr=100) == told
    assert end(np.full(4, 7.0)) is None  # as sound trainings begin, ResNet-18 for one
    assert end(np.full(300, 2.7)) is not None
    assert end(np.full(300, 743.0), accuracy=0.8) is None  # of another scale, and it has learned


@pytest.mark.parametrize(
    "labels",
    [np.linspace(0, 1, 20), np.zeros((20, 2)), np.zeros(20)],
    ids=["regression", "2-d", "1"],
)
def test_no_sentence_at_the_end_where_there_is_nothing_to_guess(labels):
    assert end(np.full(300, 2.303), labels) is None and end(np.full(300, 743.0), labels) is None
    assert StuckLoss().end(0.1, 0.9) is None


def train(first_weights, caplog, num_epochs=2):
    """A net whose output is a ReLU, on 50 batches an epoch of separable points."""
    generator = np.random.RandomState(1)
    y = generator.randint(0, 10, 500)
    X = (np.eye(10)[y] + 0.1 * generator.normal(size=(500, 10))).astype(np.float32)
    net = nn.HybridSequential()
    net.add(nn.Dense(10, activation="relu", in_units=10))
    net.initialize(first_weights)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    batches = [(nd.array(X[i : i + 10]), nd.array(y[i : i + 10])) for i in range(0, 500, 10)]
    with caplog.at_level(logging.WARNING, "gluonbook"):
        history = gb.train_ch5(net, batches, batches, 10, trainer, mx.cpu(), num_epochs)
    return history, [record.getMessage() for record in caplog.records]


def test_dead_relus_are_told_and_live_ones_not(caplog):
    history, told = train(mx.init.Constant(-1), caplog)
    assert history[-1].loss == pytest.approx(math.log(10), rel=1e-5)
    assert len(told) == 1 and "MSRAPrelu" in told[0]
    caplog.clear()
    _, told = train(mx.init.Constant(-1), caplog, num_epochs=1)
    assert len(told) == 1 and "50 batches were too few" in told[0]
    caplog.clear()
    history, told = train(mx.init.Constant(0.1), caplog)
    assert history[-1].loss < 1 and told == []
