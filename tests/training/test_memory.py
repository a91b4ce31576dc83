"""The memory of a training, evaluation or quantization is given back, whenever Python collects."""

from __future__ import annotations

import gc
import weakref

import gluonbook as gb
from gluonbook import book
from gluonbook.runs.folder import RunFolder
from gluonbook.training import graphs
import mxnet as mx
from mxnet import gluon, init, nd
from mxnet.gluon import nn
import pytest

from ..conftest import python

CALLS = """
import gc
import gluonbook as gb, mxnet as mx, psutil
from gluonbook import export
from mxnet import gluon, nd
from mxnet.gluon import nn

gc.disable()
X, y = nd.random.uniform(shape=(64, 1, 64, 64)), nd.zeros(64)
net = None
for call in range(8):
    if net is None or {new}:
        net = nn.HybridSequential()
        net.add(nn.Conv2D(32, 3, padding=1, activation="relu"), nn.GlobalAvgPool2D(), nn.Dense(2))
        net.initialize()
        net.hybridize(static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {{"learning_rate": 0.1}})
    {work}
    nd.waitall()
    print("MiB", psutil.Process().memory_info().rss >> 20)
"""

TRAIN_CH5 = "gb.train_ch5(net, [(X, y)], [(X, y)], 64, trainer, mx.cpu(), 1)"
TRAIN = (
    "gb.train([(X, y)], [(X, y)], net, gluon.loss.SoftmaxCrossEntropyLoss(), trainer, mx.cpu(), 1)"
)
EVALUATE = "gb.evaluate_accuracy([(X, y)], net)"
QUANTIZE = "export.quantize(net, X[:32].asnumpy())"


@pytest.mark.parametrize("new", [False, True], ids=["one net", "a new net for each call"])
@pytest.mark.parametrize(
    "work",
    [TRAIN_CH5, TRAIN, EVALUATE, QUANTIZE],
    ids=["train_ch5", "train", "evaluate", "quantize"],
)
def test_memory_does_not_grow_from_call_to_call(work, new):
    """The convolution's output alone takes 32 MiB, and half of that where a net is quantized."""
    # From 1 MiB on, glibc gives what is freed back to the system, and keeps no pieces of it.
    result = python(CALLS.format(work=work, new=new), MALLOC_MMAP_THRESHOLD_=str(2**20))
    seen = [int(line.split()[1]) for line in result.stdout.splitlines() if line.startswith("MiB")]
    assert len(seen) == 8, result.stderr
    assert seen[-1] < 1.1 * seen[1]


def test_a_net_is_freed_once_nothing_refers_to_it():
    """Not even the loss, which MXNet lets remember the last block that called it."""
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    data = [(nd.ones((4, 2)), nd.zeros(4))]

    def trained() -> weakref.ref:
        net = nn.HybridSequential()
        net.add(nn.Dense(2))
        net.initialize(init.Xavier())
        net.hybridize()
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
        gb.train(data, data, net, loss, trainer, mx.cpu(), 1)
        return weakref.ref(net)

    net = trained()
    gc.collect()
    assert net() is None


def test_no_epoch_keeps_the_evaluation_of_the_one_before(monkeypatch):
    """Its graph holds the weights once more, and the memory of a batch."""
    alive = []

    class Computation:
        used = weakref.WeakSet()

        def train(self, parts, trainer):
            alive.append(len(self.used))
            return computed.train(parts, trainer)

        def inference(self, ctxs):
            alive.append(len(self.used))
            infer = computed.inference(ctxs)
            self.used.add(infer)
            return infer

    net = nn.HybridSequential()
    net.add(nn.Conv2D(2, 3), nn.Dense(2))
    net.initialize()
    net.hybridize()
    computed = graphs.Graphs(net, gluon.loss.SoftmaxCrossEntropyLoss())
    monkeypatch.setattr(book, "computation_of", lambda *given, **more: Computation())
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    batch = (nd.ones((4, 1, 8, 8)), nd.zeros(4))
    gb.train_ch5(net, [batch], [batch], 4, trainer, mx.cpu(), 3)
    assert alive == [0] * 6


def test_the_graph_is_freed_before_the_folder_of_a_run_is_finished(monkeypatch, tmp_path):
    used, alive = weakref.WeakSet(), []
    make = book.computation_of

    def computation_of(*given, **more):
        computation = make(*given, **more)
        used.add(computation)
        return computation

    monkeypatch.setattr(book, "computation_of", computation_of)
    monkeypatch.setattr(RunFolder, "_finish", lambda *given: alive.append(len(used)))
    net = nn.HybridSequential()
    net.add(nn.Dense(2))
    net.initialize()
    net.hybridize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    batch = (nd.ones((4, 1, 8, 8)), nd.zeros(4))
    gb.train_ch5(net, [batch], [batch], 4, trainer, mx.cpu(), 1, run=tmp_path / "run")
    assert alive == [0]
