"""What the tests of a kept run share: a small training, and how it is stopped."""

from __future__ import annotations

import json
import os
from pathlib import Path
import signal

import gluonbook as gb
from gluonbook.data.image_batches import ImageBatches
from gluonbook.runs.checkpoint import Checkpoint
from gluonbook.runs.format import digest
from gluonbook.runs.history import History
from gluonbook.system.interrupts import Interrupted
import mxnet as mx
from mxnet import gluon
from mxnet.gluon import nn
import numpy as np
import pytest
import safetensors.numpy

EPOCHS, BATCHES = 3, 5


def small_net(ctx=None, hybridize=True):
    """Batch norm and dropout: running statistics and randomness."""
    net = nn.HybridSequential()
    net.add(
        nn.Conv2D(4, kernel_size=3, in_channels=1),
        nn.BatchNorm(in_channels=4),
        nn.Dropout(0.5),
        nn.Dense(3, in_units=4 * 6 * 6),
    )
    mx.random.seed(3)
    net.initialize(mx.init.Xavier(), ctx=ctx or mx.cpu())
    if hybridize:
        net.hybridize(static_alloc=True, static_shape=True)
    return net


def images(seed=7):
    rng = np.random.RandomState(0)
    pixels = rng.randint(0, 256, (18, 1, 8, 8)).astype(np.uint8)
    return ImageBatches(pixels, np.arange(18, dtype=np.int32) % 3, 4, shuffle=True, seed=seed)


class Stopping:
    """Batches that send this process a signal as one of them is served.

    The loop knows nothing of them but iteration and their number.
    """

    def __init__(self, batches, at):
        self._batches, self._left = batches, at

    def __len__(self):
        return len(self._batches)

    def __iter__(self):
        return self._stopping(self._batches)

    def _stopping(self, batches):
        for batch in batches:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch


class StoppingImages(Stopping):
    """The same with a position, as `PositionedLoader` declares it."""

    @property
    def seed(self):
        return self._batches.seed

    @seed.setter
    def seed(self, value):
        self._batches.seed = value

    @property
    def facts(self):
        return self._batches.facts

    def split_batches(self, ctxs, *, epoch=None, first=0):
        return self._stopping(self._batches.split_batches(ctxs, epoch=epoch, first=first))


def stopping(batches, at):
    return (StoppingImages if isinstance(batches, ImageBatches) else Stopping)(batches, at)


OPTIMIZERS = {
    "sgd": lambda: ("sgd", {"learning_rate": 0.1}),
    "momentum": lambda: ("sgd", {"learning_rate": 0.1, "momentum": 0.9}),
    "adam": lambda: ("adam", {"learning_rate": 0.01}),
    "nadam": lambda: ("nadam", {"learning_rate": 0.01}),
    "schedule": lambda: (
        "sgd",
        {"learning_rate": 0.1, "lr_scheduler": mx.lr_scheduler.FactorScheduler(4, 0.7)},
    ),
}


def fit(
    folder,
    *,
    train_iter=None,
    optimizer="sgd",
    ctx=None,
    num_epochs=EPOCHS,
    net=None,
    save_every=None,
    **options,
):
    """Train the small net; the result is its parameters and its history without the times."""
    net = net or small_net(ctx)
    trainer = gluon.Trainer(net.collect_params(), *OPTIMIZERS[optimizer]())
    history = History()
    checkpoint = folder and Checkpoint(folder, save_every=save_every, seed=11, **options)
    train_iter = images() if train_iter is None else train_iter
    test_iter = ImageBatches(images().images, images().labels, 5)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    rest = {"history": history, "checkpoint": checkpoint}
    if ctx is None:
        gb.train_ch5(net, train_iter, test_iter, 4, trainer, mx.cpu(), num_epochs, **rest)
    else:
        gb.train(train_iter, test_iter, net, loss, trainer, ctx, num_epochs, **rest)
    values = [
        value.asnumpy()
        for param in net._collect_params_with_prefix().values()
        for value in param.list_data()
    ]
    return values, [row[:4] for row in history]


def assert_same(one, other):
    for a, b in zip(one[0], other[0]):
        np.testing.assert_array_equal(a, b)
    assert one[1] == other[1] and len(one[1]) == EPOCHS


def stop_and_go_on(folder, batches, at, **options):
    """Train until a signal comes with batch `at`, counted over all epochs, and go on."""
    with pytest.raises(Interrupted):
        fit(folder, train_iter=stopping(batches(), at), **options)
    return fit(folder, train_iter=stopping(batches(), 0), **options)


def names(folder):
    return sorted(path.name for path in Path(folder).glob("[!.]*"))


def checkpoints(folder):
    return sorted(path.name for path in Path(folder).glob("checkpoint-*"))


def wider_net():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(5, kernel_size=3, in_channels=1), nn.BatchNorm(in_channels=5))
    net.add(nn.Dropout(0.5), nn.Dense(3, in_units=5 * 6 * 6))
    net.initialize()
    return net


def rewritten(path, change):
    """Write the checkpoint's state anew as `change` leaves it, with a right checksum."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    state = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["state"])
    change(state)
    text, arrays = json.dumps(state), safetensors.numpy.load(content)
    metadata = {"state": text, "sha256": digest(text, arrays)}
    path.write_bytes(safetensors.numpy.save(arrays, metadata))
