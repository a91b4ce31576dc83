"""What the book writes by hand, against NumPy and the book's own example."""

from __future__ import annotations

import re

import gluonbook as gb
from mxnet import autograd, nd
import numpy as np
import pytest


def test_the_books_example_of_a_cross_correlation():
    """Section on convolutions: a 3 × 3 input and a 2 × 2 kernel."""
    Y = gb.corr2d(nd.arange(9).reshape((3, 3)), nd.arange(4).reshape((2, 2)))
    assert Y.asnumpy().tolist() == [[19, 25], [37, 43]]


def test_a_kernel_that_is_not_square():
    X, K = np.random.rand(5, 7).astype(np.float32), np.random.rand(2, 3).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(X, K.shape)
    expected = np.einsum("ijkl,kl->ij", windows, K)
    np.testing.assert_allclose(gb.corr2d(nd.array(X), nd.array(K)).asnumpy(), expected, rtol=1e-5)


def test_a_step_of_sgd():
    w = nd.array([1.0, 2.0])
    w.attach_grad()
    with autograd.record():
        loss = (w * nd.array([3.0, 5.0])).sum()  # the gradients are 3 and 5
    loss.backward()
    gb.sgd([w], lr=0.5, batch_size=10)
    np.testing.assert_allclose(w.asnumpy(), [1 - 0.5 * 0.3, 2 - 0.5 * 0.5], rtol=1e-6)


@pytest.mark.parametrize(("prefix", "before"), [(None, ""), ("workers:", "workers: ")])
def test_benchmark_prints_the_seconds(prefix, before, capsys):
    with gb.Benchmark(prefix):
        pass
    assert re.fullmatch(rf"{before}time: \d\.\d{{4}} sec\n", capsys.readouterr().out)
