"""A short training from a seed, against the same training by hand."""

from __future__ import annotations

import importlib

import gluonbook as gb
from gluonbook.recipes import Tuning
import mxnet as mx
from mxnet import gluon
import numpy as np
import pytest

from ..conftest import CHAPTERS

OPTIONS = {"num_epochs": 1, "batch_size": 16, "size": 28, "ctx": mx.cpu(), "lr": 0.1}


@pytest.fixture
def trial(monkeypatch):
    monkeypatch.syspath_prepend(str(CHAPTERS / "exercises"))
    return importlib.import_module("trial").trial


def figures(history):
    return [epoch[:-1] for epoch in history]


def test_a_trial_is_the_training_of_the_book_from_its_seed(tiny, trial):
    tried = trial(gb.lenet, 3, data={"limit": 32}, settings={"momentum": 0.9}, **OPTIONS)

    mx.random.seed(3)
    net = gb.lenet()
    net.initialize(mx.init.Xavier())
    net.hybridize()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1, "momentum": 0.9})
    train_iter, test_iter = gb.load_data_fashion_mnist(16, limit=32, seed=3)
    by_hand = gb.train_ch5(net, train_iter, test_iter, 16, trainer, mx.cpu(), 1)
    assert figures(tried) == figures(by_hand)


def test_a_trial_from_another_seed_is_another(tiny, trial):
    first, second = (trial(gb.lenet, seed, data={"limit": 32}, **OPTIONS) for seed in (1, 2))
    assert figures(first) != figures(second)


def test_a_tuning_that_changes_nothing_is_the_training_of_the_book(tiny, trial):
    options = {**OPTIONS, "data": {"limit": 32}}
    by_book = figures(trial(gb.lenet, 3, **options))
    for ours, theirs in zip(figures(trial(gb.lenet, 3, tuning=Tuning(), **options)), by_book):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_moved_images_are_another_training(tiny, trial):
    options = {**OPTIONS, "data": {"limit": 32}}
    plain, moved = (
        figures(trial(gb.lenet, 3, tuning=Tuning(augment=augment), **options))
        for augment in (False, True)
    )
    assert plain != moved
