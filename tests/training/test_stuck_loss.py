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
    assert end(np.full(72, 2.303), accuracy=0.4) is None  # right answers, too sure of the others


def risen(number, loss, first=2.4):
    """The first batch, which no step has changed the net for, and the others."""
    return np.array([first, *[loss] * (number - 1)])


def test_a_loss_that_has_risen_above_guessing_names_a_lower_learning_rate():
    told = end(risen(300, 743.0), lr=100)
    assert "743" in told and "2.303" in told and "try 10" in told
    assert "try 10" in end(risen(3, 743.0), lr=100)
    assert end(risen(4, 7.0)) is None  # as sound trainings begin, ResNet-18 for one
    assert end(risen(300, 3.0), np.arange(256) % 10) is not None
    assert end(risen(300, 3.0), BATCH) is None  # 20 examples: the first batch may be a lucky one
    assert end(risen(300, 743.0), accuracy=0.8) is None  # of another scale, and it has learned


@pytest.mark.parametrize(
    ("first", "labels"),
    [
        (math.log(2), np.arange(100) < 5),  # 95 of 100 of one class: their entropy is 0.199
        (math.log(1000), BATCH),  # a net of 1,000 outputs for labels of ten classes
        (2.7, BATCH),  # as first weights may give
        (300.0, BATCH),  # as images from 0 to 255 may
    ],
    ids=["unequal classes", "outputs without labels", "first weights", "large images"],
)
def test_a_loss_that_has_not_moved_is_not_blamed_on_a_rate_too_high(first, labels):
    guessed = np.bincount(labels.astype(int)).max() / len(labels)
    assert end(np.full(300, first), labels, accuracy=guessed, lr=1e-7) is None


def test_whether_the_loss_of_a_resumed_training_has_risen_is_not_known():
    assert end(np.full(300, 743.0), early=False) is None


def test_a_net_that_answers_better_than_guessing_is_not_told_that_it_guesses():
    """Two thirds are of one class, and 0.75 are answered rightly."""
    two_thirds = np.arange(30) % 3 // 2
    assert end(risen(300, 2.0, 0.7), two_thirds, accuracy=0.75) is None
    assert end(risen(300, 2.0, 0.7), two_thirds, accuracy=0.66) is not None


def test_guessing_among_unequal_classes_is_told_by_its_own_figure():
    labels = np.array([0] * 9 + [1])
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    [told] = sentences(np.full(100, entropy), labels)
    assert f"2 classes by their frequencies ({entropy:.3f})" in told and "0.693" not in told


def test_a_loss_that_falls_through_that_of_guessing_is_not_stuck():
    """Unequal classes, from ln 2 down to 0.03: batches 71 to 90 have the entropy as their mean."""
    labels = np.array([0] * 9 + [1])
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    falling = entropy + (80.5 - np.arange(1, 121)) * 0.0075
    assert falling[70:90].mean() == pytest.approx(entropy)
    assert sentences(falling, labels) == []


@pytest.mark.parametrize(
    "labels",
    [np.linspace(0, 1, 20), np.zeros((20, 2)), np.zeros(20)],
    ids=["regression", "2-d", "1"],
)
def test_no_sentence_at_the_end_where_there_is_nothing_to_guess(labels):
    assert end(np.full(300, 2.303), labels) is None and end(np.full(300, 743.0), labels) is None
    assert StuckLoss().end(0.1, 0.9) is None


def weighted(weights):
    """Cross-entropy with a weight for each class, as one writes it for classes of unequal size."""

    class Weighted(gluon.loss.SoftmaxCrossEntropyLoss):
        def hybrid_forward(self, F, pred, label, sample_weight=None):
            of_class = F.take(self.weights, label)
            return super().hybrid_forward(F, pred, label) * of_class

        def __init__(self):
            super().__init__()
            self.weights = nd.array(weights)

    return Weighted()


def of_two_classes(loss, caplog, lr):
    """19 of 20 are of one class, and the points of the other lie among them."""
    generator = np.random.RandomState(1)
    y = (np.arange(2000) % 20 == 0).astype(np.int32)
    X = (generator.normal(size=(2000, 2)) + y[:, None]).astype(np.float32)
    net = nn.Dense(2, in_units=2)
    net.initialize(mx.init.Xavier())
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": lr})
    batches = [(nd.array(X[i : i + 20]), nd.array(y[i : i + 20])) for i in range(0, 2000, 20)]
    with caplog.at_level(logging.WARNING, "gluonbook"):
        history = gb.train(batches, batches, net, loss, trainer, mx.cpu(), 1)
    return history, [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    "loss",
    [
        weighted([1, 19]),
        gluon.loss.SoftmaxCrossEntropyLoss(weight=10),
        lambda y_hat, y: 10 * gluon.loss.SoftmaxCrossEntropyLoss()(y_hat, y),
    ],
    ids=["for each class", "for all", "in a function"],
)
def test_a_weighted_loss_is_not_compared_with_an_unweighted_entropy(loss, caplog):
    history, told = of_two_classes(loss, caplog, 0.05)
    assert history[-1].loss > 1.1 * 0.199 and told == []


def test_a_rate_far_too_low_for_unequal_classes_is_not_called_too_high(caplog):
    history, told = of_two_classes(gluon.loss.SoftmaxCrossEntropyLoss(), caplog, 1e-5)
    assert history[-1].loss > 1.1 * 0.199 and told == []


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


@pytest.mark.parametrize(("num_batches", "again"), [(120, False), (2000, True)])
def test_what_has_been_told_early_is_said_again_after_a_long_training(num_batches, again):
    """The first sentence tells a reader of a net of sigmoids to wait."""
    stuck_loss = StuckLoss()
    early = [stuck_loss.add(math.log(10), BATCH) for _ in range(num_batches)]
    assert sum(map(bool, early)) == 1
    told = stuck_loss.end(0.1, 0.9)
    assert bool(told) == again
    if again:
        assert told.startswith("the loss at the end is 2.303, that of guessing among 10 classes")
        assert told.partition("one size): ")[2].startswith("begin again with another seed")
    assert stuck_loss.end(0.9, 0.9) is None
