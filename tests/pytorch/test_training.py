"""The PyTorch edition's loop and loader."""

from __future__ import annotations

import re

import gluonbook as gb
from gluonbook.pytorch import nets
from gluonbook.pytorch import training as pt
import numpy as np
import pytest
import torch


def test_both_editions_get_the_same_batches(dataset):
    ours, _ = gb.load_data_fashion_mnist(64, 32, dataset.folder, limit=200, seed=5)
    theirs, test_iter = pt.load_data_fashion_mnist(64, 32, dataset.folder, limit=200, seed=5)
    assert len(theirs) == 4 and len(test_iter) == 157
    for (X, y), (A, b) in zip(ours, theirs):
        assert A.dtype == torch.float32 and b.dtype == torch.int64
        np.testing.assert_array_equal(X.asnumpy(), A.numpy())
        np.testing.assert_array_equal(y.asnumpy(), b.numpy())


def test_train_ch6_learns_and_prints(dataset, capsys):
    train_iter, _ = pt.load_data_fashion_mnist(32, 28, dataset.folder, limit=1500, seed=0)
    few = torch.utils.data.TensorDataset(*next(iter(train_iter)))
    test_iter = torch.utils.data.DataLoader(few, batch_size=16)
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(784, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
    )
    history = pt.train_ch6(net, train_iter, test_iter, 4, 0.1, torch.device("cpu"))
    assert len(history) == 4 and history[-1].loss < 0.8 and history[-1].test_acc > 0.7
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "training on cpu"
    assert re.fullmatch(r"loss 0\.\d{3}, train acc 0\.\d{3}, test acc \d\.\d{3}", lines[1])
    assert re.fullmatch(r"\d+\.\d examples/sec on cpu", lines[2])


def test_init_weights_draws_xaviers_range():
    net = nets.lenet()
    net.apply(pt.init_weights)
    limit = np.sqrt(6 / (400 + 120))
    weight = net[7].weight.detach().numpy()
    assert np.abs(weight).max() <= limit and weight.std() == pytest.approx(limit / 3**0.5, rel=0.02)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_devices():
    assert pt.try_gpu() == torch.device("cpu") and pt.try_all_gpus() == [torch.device("cpu")]
