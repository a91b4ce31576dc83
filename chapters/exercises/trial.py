"""Short trainings of several nets from the same seeds on the same batches, to compare them."""

from __future__ import annotations

import random
from typing import Any, Callable, Mapping

from gluonbook.book import train, train_ch5
from gluonbook.data.fashion_mnist import load_data_fashion_mnist
from gluonbook.recipes import Tuning
from gluonbook.runs.history import History
from gluonbook.training.tuned import tuned
import mxnet as mx
from mxnet import gluon
import numpy as np


def trial(
    build: Callable[[], gluon.HybridBlock],
    seed: int,
    *,
    num_epochs: int,
    batch_size: int,
    size: int,
    data: Mapping[str, Any],
    ctx: mx.Context,
    lr: float,
    optimizer: str = "sgd",
    settings: Mapping[str, Any] | None = None,
    initializer: str = "Xavier",
    tuning: Tuning | None = None,
) -> History:
    """Build a net, train it on Fashion-MNIST by `train_ch5`, and return its history.

    Parameters
    ----------
    seed
        Of the initial weights, the order of the images, and dropout.
    size
        Height and width of the images in pixels.
    data
        The other arguments of `load_data_fashion_mnist`, such as ``limit``.
    optimizer, settings, initializer
        MXNet's names, and arguments of the optimizer besides the learning rate.
    tuning
        Train by `gluonbook.train` with this instead of `optimizer` and `settings`. The loss of the
        history is then that of the smoothed labels.
    """
    random.seed(seed)
    np.random.seed(seed)
    mx.random.seed(seed)
    net = build()
    net.initialize(mx.init.create(initializer), ctx=ctx)
    net.hybridize(static_alloc=True, static_shape=True)
    augment = tuning is not None and tuning.augment
    train_iter, test_iter = load_data_fashion_mnist(
        batch_size, size, seed=seed, augment=augment, **data
    )
    if tuning is not None:
        trainer, loss = tuned(net, lr, tuning, num_epochs * len(train_iter))
        return train(train_iter, test_iter, net, loss, trainer, ctx, num_epochs)
    trainer = gluon.Trainer(
        net.collect_params(), optimizer, {"learning_rate": lr, **(settings or {})}
    )
    return train_ch5(net, train_iter, test_iter, batch_size, trainer, ctx, num_epochs)
