"""Advice names the learning rate that a user has given, whatever schedule makes of it."""

from __future__ import annotations

import logging

import gluonbook as gb
from gluonbook.recipes import Tuning
from gluonbook.training.learning_rate import NotFinite, given_rate
from gluonbook.training.tuned import schedule, tuned
import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn
from mxnet.lr_scheduler import (
    CosineScheduler,
    FactorScheduler,
    LRScheduler,
    MultiFactorScheduler,
    PolyScheduler,
)
import numpy as np
import pytest

#: Of the user. Its square is beyond float32, so that two dense layers soon give NaN.
GIVEN = 1e30
NUM_STEPS = 6


class OwnCosine(CosineScheduler):
    """A schedule that MXNet does not know, whatever it is made of."""

    def __call__(self, num_update):
        return 0.5 * super().__call__(num_update)


class Own(LRScheduler):
    def __call__(self, num_update):
        return self.base_lr / num_update


SETTINGS = {
    "no schedule": {"learning_rate": GIVEN},
    "factor": {"lr_scheduler": lambda: FactorScheduler(1, 0.5, base_lr=GIVEN)},
    "factor, by the optimizer": {
        "lr_scheduler": lambda: FactorScheduler(1, 0.5),
        "learning_rate": GIVEN,
    },
    "factor after a warm-up": {
        "lr_scheduler": lambda: FactorScheduler(1, 0.5, base_lr=GIVEN, warmup_steps=4)
    },
    "several factors": {"lr_scheduler": lambda: MultiFactorScheduler([1, 2], 0.5, base_lr=GIVEN)},
    "several factors, by the optimizer": {
        "lr_scheduler": lambda: MultiFactorScheduler([1, 2], 0.5),
        "learning_rate": GIVEN,
    },
    "polynomial": {"lr_scheduler": lambda: PolyScheduler(NUM_STEPS, base_lr=GIVEN)},
    "polynomial, which keeps its own": {
        "lr_scheduler": lambda: PolyScheduler(NUM_STEPS, base_lr=GIVEN),
        "learning_rate": 0.1,
    },
    "cosine": {"lr_scheduler": lambda: CosineScheduler(NUM_STEPS, base_lr=GIVEN)},
    "cosine after a warm-up": {
        "lr_scheduler": lambda: CosineScheduler(NUM_STEPS, base_lr=GIVEN, warmup_steps=3)
    },
    "ours": {"lr_scheduler": lambda: schedule(GIVEN, 0.5, NUM_STEPS)},
}
OWN = {
    "of one's own": {"lr_scheduler": lambda: Own(GIVEN)},
    "made of MXNet's": {"lr_scheduler": lambda: OwnCosine(NUM_STEPS, base_lr=GIVEN)},
}


def diverging(settings, optimizer="sgd"):
    """Two dense layers, their trainer, and batches on which they diverge."""
    net = nn.HybridSequential()
    net.add(nn.Dense(4, in_units=3), nn.Dense(2, in_units=4))
    net.initialize(mx.init.One())
    made = {k: value() if callable(value) else value for k, value in settings.items()}
    trainer = gluon.Trainer(net.collect_params(), optimizer, made)
    batches = [(nd.ones((2, 3)), nd.array([0, 0]))] * NUM_STEPS
    return net, trainer, batches


def message_of(settings):
    net, trainer, batches = diverging(settings)
    with pytest.raises(NotFinite) as failure:
        gb.train_ch5(net, batches, batches, 2, trainer, mx.cpu(), 1)
    return str(failure.value), trainer


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_loss_that_is_not_finite_names_the_rate_that_was_given(settings):
    told, trainer = message_of(settings)
    assert "the learning rate of 1e+30 is too high" in told and "such as 5e+29" in told
    if "lr_scheduler" in settings:
        assert trainer.learning_rate != GIVEN  # that of the step is another


@pytest.mark.parametrize("settings", OWN.values(), ids=OWN.keys())
def test_a_schedule_of_ones_own_is_told_without_a_number(settings):
    told, _ = message_of(settings)
    assert told.endswith(
        "learning rate is too high; start again with a lower one, such as half of it"
    )


def test_parameters_that_are_not_finite_name_the_rate_that_was_given(tmp_path):
    net, trainer, batches = diverging({"lr_scheduler": lambda: FactorScheduler(1, 0.5, base_lr=8)})

    class Spoiling(list):
        def __iter__(self):
            yield from super().__iter__()
            net[0].bias.set_data(nd.full((4,), np.inf))

    with pytest.raises(
        NotFinite, match=r"bias .* the learning rate of 8 is too high; .* such as 4"
    ):
        gb.train_ch5(net, Spoiling(batches), batches, 2, trainer, mx.cpu(), 1, checkpoint=tmp_path)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "ftrl"])
def test_a_rate_that_is_set_later_is_the_one_that_was_given(optimizer):
    _, trainer, _ = diverging({}, optimizer)
    trainer.set_learning_rate(0.375)
    assert given_rate(trainer) == 0.375


def test_an_optimizers_default_replaces_the_rate_of_a_factor_schedule():
    """As MXNet has it: Adam's default of 0.001 takes the place of the 0.5."""
    _, trainer, _ = diverging(
        {"lr_scheduler": lambda: FactorScheduler(1, 0.5, base_lr=0.5)}, "adam"
    )
    assert given_rate(trainer) == trainer.learning_rate == 0.001


@pytest.mark.parametrize("warm_up", [None, 0.1])
def test_the_sentence_at_the_end_names_the_rate_that_was_given(warm_up, caplog):
    """Of a tuned recipe, whose last step has the rate 0."""
    random = np.random.RandomState(1)
    X = random.normal(size=(40, 10, 8)).astype(np.float32)
    batches = [(nd.array(x), nd.array(random.randint(10, size=10))) for x in X]
    net = nn.HybridSequential()
    net.add(nn.Dense(10, in_units=8))
    net.initialize(mx.init.Xavier())
    trainer, loss = tuned(net, 300.0, Tuning(momentum=0.9, warm_up=warm_up), len(batches))
    with caplog.at_level(logging.WARNING, "gluonbook"):
        gb.train(batches, batches, net, loss, trainer, mx.cpu(), 1)
    [told] = [record.getMessage() for record in caplog.records]
    assert told.endswith("the learning rate of 300 is too high; try 30")
    if warm_up is not None:
        assert trainer.learning_rate == pytest.approx(0)


def test_the_books_own_sgd_has_the_rate_that_it_was_given():
    W = nd.ones((3, 2))
    W.attach_grad()
    batches = [(nd.full((2, 3), 1e30), nd.array([0, 0]))] * NUM_STEPS
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    with pytest.raises(NotFinite, match=r"the learning rate of 0.25 is too high"):
        gb.train_ch3(lambda X: nd.dot(X, W * W), batches, batches, loss, 1, 2, [W], 0.25)
