"""Each kernel's own source, compiled for the CPU, against NumPy."""

from __future__ import annotations

from gluonbook.gpu import kernels
import mxnet as mx
from mxnet import nd
import numpy as np
import pytest


@pytest.fixture
def random():
    return np.random.RandomState(4)


def array(values, dtype="float32"):
    return nd.array(values, dtype=dtype)


def test_images_are_taken_and_scaled(launcher, random):
    images = random.randint(256, size=(9, 1, 5, 7)).astype(np.uint8)
    indices = [8, 0, 3, 3]
    out = nd.empty((4, 1, 5, 7))
    launcher.launch(
        "take_images", out.size, out, array(images, "uint8"), array(indices, "int32"), 35
    )
    np.testing.assert_array_equal(out.asnumpy(), images[indices] / np.float32(255))


@pytest.mark.parametrize(("rows", "units"), [(1, 1), (3, 7), (257, 10)])
def test_a_bias_and_its_gradient(launcher, random, rows, units):
    values, bias = random.randn(rows, units), random.randn(units)
    y, sums = array(values), nd.empty((units,))
    launcher.launch("add_bias", y.size, y, array(bias), units)
    np.testing.assert_allclose(y.asnumpy(), values + bias, rtol=0, atol=1e-6)
    launcher.launch("sum_columns", units, sums, array(values), rows)
    np.testing.assert_allclose(sums.asnumpy(), values.sum(axis=0), rtol=0, atol=1e-4)


def test_a_sum_of_two(launcher, random):
    a, b = random.randn(2, 33).astype(np.float32)
    out = nd.empty((33,))
    launcher.launch("add", 33, out, array(a), array(b))
    np.testing.assert_array_equal(out.asnumpy(), a + b)


def test_parts_are_joined_and_split(launcher, random):
    parts = [random.randn(3, width).astype(np.float32) for width in (5, 1, 8)]
    whole, first = nd.empty((3, 14)), 0
    for part in parts:
        width = part.shape[1]
        launcher.launch("join", part.size, whole, array(part), 14, width, first)
        first += width
    np.testing.assert_array_equal(whole.asnumpy(), np.concatenate(parts, axis=1))
    back = nd.empty((3, 8))
    launcher.launch("split", back.size, back, whole, 14, 8, 6)
    np.testing.assert_array_equal(back.asnumpy(), parts[2])


def test_two_axes_are_swapped(launcher, random):
    values = random.randn(2, 3, 5).astype(np.float32)
    out = nd.empty((2, 5, 3))
    launcher.launch("swap", out.size, out, array(values), 3, 5)
    np.testing.assert_array_equal(out.asnumpy(), values.transpose(0, 2, 1))


UNFOLDED = [  # height, width, kernel, stride, pad, dilation
    (6, 5, (3, 3), (1, 1), (1, 1), (1, 1)),
    (9, 8, (5, 2), (2, 3), (2, 0), (1, 2)),
    (7, 7, (1, 1), (2, 2), (0, 0), (1, 1)),  # values that no window reads
    (4, 5, (3, 3), (1, 2), (4, 3), (2, 1)),  # windows of zeros alone
]


@pytest.mark.parametrize(("height", "width", "kernel", "stride", "pad", "dilation"), UNFOLDED)
def test_windows_are_unfolded_and_folded(
    launcher, random, height, width, kernel, stride, pad, dilation
):
    x = random.randn(2, 3, height, width).astype(np.float32)
    size = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip((height, width), kernel, stride, pad, dilation)
    ]
    around = np.pad(x, ((0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2))
    expected = np.empty((2, *size, 3, *kernel), np.float32)
    drows = random.randn(*expected.shape).astype(np.float32)
    dx = np.zeros_like(around)
    for n, row, column, channel, i, j in np.ndindex(*expected.shape):
        at = n, channel, row * stride[0] + i * dilation[0], column * stride[1] + j * dilation[1]
        expected[n, row, column, channel, i, j] = around[at]
        dx[at] += drows[n, row, column, channel, i, j]
    given = (3, height, width, *size, *kernel, *stride, *pad, *dilation)
    rows, gradient = nd.empty(expected.shape), nd.empty(x.shape)
    launcher.launch("unfold", rows.size, rows, array(x), *given)
    np.testing.assert_array_equal(rows.asnumpy(), expected)
    launcher.launch("fold", gradient.size, gradient, array(drows), *given)
    inner = dx[:, :, pad[0] : pad[0] + height, pad[1] : pad[1] + width]
    np.testing.assert_allclose(gradient.asnumpy(), inner, rtol=0, atol=1e-5)


WINDOWS = [  # height, width, kernel, stride, pad
    (8, 8, (2, 2), (2, 2), (0, 0)),
    (9, 7, (3, 3), (2, 2), (1, 1)),
    (7, 9, (3, 2), (1, 2), (1, 0)),
    (5, 6, (2, 2), (3, 3), (0, 0)),  # values that no window reads
    (6, 6, (5, 5), (1, 1), (2, 2)),
]


@pytest.mark.parametrize(("height", "width", "kernel", "stride", "pad"), WINDOWS)
def test_max_pooling_and_its_gradient(launcher, random, height, width, kernel, stride, pad):
    x = random.randint(5, size=(2, 3, height, width)).astype(np.float32)  # many are equal
    size = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip((height, width), kernel, stride, pad)]
    dy = random.randn(2, 3, *size).astype(np.float32)
    y, dx = np.empty_like(dy), np.zeros_like(x)
    for place in np.ndindex(*y.shape):
        top, left = (place[2 + i] * stride[i] - pad[i] for i in range(2))
        rows = range(max(top, 0), min(top + kernel[0], height))
        columns = range(max(left, 0), min(left + kernel[1], width))
        at = max(((r, c) for r in rows for c in columns), key=lambda at: x[(*place[:2], *at)])
        y[place] = x[(*place[:2], *at)]
        dx[(*place[:2], *at)] += dy[place]
    given = (height, width, *size, *kernel, *stride, *pad)
    found, chosen = nd.empty(y.shape), nd.empty(y.shape, dtype="int32")
    launcher.launch("max_pool", found.size, found, chosen, array(x), *given)
    np.testing.assert_array_equal(found.asnumpy(), y)
    gradient = nd.empty(x.shape)
    launcher.launch("max_pool_backward", gradient.size, gradient, chosen, array(dy), *given)
    np.testing.assert_allclose(gradient.asnumpy(), dx, rtol=0, atol=1e-6)


def test_a_window_that_lies_in_the_padding_alone(launcher, random):
    """Rounding up gives such windows: of 5 rows and 2 of padding, the third begins at row 5."""
    x = random.randn(1, 2, 5, 5).astype(np.float32)
    windows = {"kernel": (2, 2), "stride": (3, 3), "pad": (1, 1)}
    expected = nd.Pooling(array(x), pool_type="max", pooling_convention="full", **windows)
    assert expected.shape == (1, 2, 3, 3)
    y, chosen = nd.empty((1, 2, 3, 3)), nd.empty((1, 2, 3, 3), dtype="int32")
    launcher.launch("max_pool", 18, y, chosen, array(x), 5, 5, 3, 3, 2, 2, 3, 3, 1, 1)
    np.testing.assert_array_equal(y.asnumpy(), expected.asnumpy())
    assert (chosen.asnumpy()[:, :, 2] == -1).all()


def test_max_pooling_lets_no_nan_pass_unseen(launcher):
    x = np.zeros((1, 1, 2, 2), np.float32)
    for place in np.ndindex(2, 2):
        strange = x.copy()
        strange[(0, 0, *place)] = np.nan
        y, chosen = nd.empty((1, 1, 1, 1)), nd.empty((1, 1, 1, 1), dtype="int32")
        window = (2, 2, 1, 1, 2, 2, 2, 2, 0, 0)
        launcher.launch("max_pool", 1, y, chosen, array(strange), *window)
        assert np.isnan(y.asscalar())


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.9])
def test_dropout_keeps_its_share_by_chance(launcher, rate):
    n = 200_000
    kept = []
    for seed in (1, 2):
        y = nd.empty((n,))
        launcher.launch("dropout", n, y, nd.ones((n,)), rate, seed)
        y = y.asnumpy()
        kept.append(y != 0)
        np.testing.assert_allclose(y[kept[-1]], 1 / (1 - rate), rtol=1e-6)
        # five standard deviations of a binomial distribution, of a share and of neighbours
        allowed = 5 * (rate * (1 - rate) / n) ** 0.5
        assert abs(kept[-1].mean() - (1 - rate)) <= allowed
        assert abs((kept[-1][1:] & kept[-1][:-1]).mean() - (1 - rate) ** 2) <= 2 * allowed
    assert abs((kept[0] & kept[1]).mean() - (1 - rate) ** 2) <= 2 * allowed


@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (5, 10), (64, 1000)])
def test_cross_entropy_and_its_gradient(launcher, random, rows, classes):
    logits = (10 * random.randn(rows, classes)).astype(np.float32)
    labels = random.randint(classes, size=rows)
    figures, gradient = nd.empty((2, rows)), nd.empty((rows, classes))
    given = (array(logits), array(labels, "int32"), classes)
    launcher.launch("cross_entropy", rows, figures, *given)
    launcher.launch("cross_entropy_backward", rows, gradient, *given)
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    softmax = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    expected = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(rows), labels]
    losses, answers = figures.asnumpy()
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(answers, logits.argmax(axis=1))
    softmax[np.arange(rows), labels] -= 1
    np.testing.assert_allclose(gradient.asnumpy(), softmax, rtol=0, atol=3e-6)


def test_a_label_that_is_no_class_reads_no_memory_of_others(launcher):
    figures = nd.empty((2, 2))
    logits = array([[1.0, 2.0], [3.0, 5.0]])
    launcher.launch("cross_entropy", 2, figures, logits, array([-7, 10**6], "int32"), 2)
    np.testing.assert_allclose(
        figures.asnumpy()[0], [np.log1p(np.e), np.log1p(np.exp(-2))], rtol=1e-6
    )


CLIPS = [-1.0, 0.5]


@pytest.mark.parametrize("clip", CLIPS)
def test_updates_are_those_of_mxnets_operators(launcher, random, clip):
    weight, gradient, first = random.randn(3, 41)
    second = np.abs(random.randn(41))
    shared = {"lr": 0.1, "wd": 0.01, "rescale_grad": 0.3, "clip_gradient": clip}
    numbers = (0.1, 0.01, 0.3, clip)

    def both(name, operator, states, own, **more):
        w, theirs = array(weight), array(weight)
        s, their_states = [array(x) for x in states], [array(x) for x in states]
        launcher.launch(name, 41, w, *s, array(gradient), *own)
        operator(theirs, array(gradient), *their_states, out=theirs, **shared, **more)
        for found, expected in zip([w, *s], [theirs, *their_states]):
            np.testing.assert_allclose(found.asnumpy(), expected.asnumpy(), rtol=1e-5, atol=1e-6)

    both("sgd", nd.sgd_update, [], numbers)
    both("sgd_momentum", nd.sgd_mom_update, [first], (0.9, *numbers), momentum=0.9)
    adam = {"beta1": 0.9, "beta2": 0.99, "epsilon": 1e-6}
    both("adam", nd.adam_update, [first, second], (*adam.values(), *numbers), **adam)


def test_each_kernel_has_a_signature_that_mxnet_reads():
    """Its own reader of signatures takes no more types than these."""
    known = kernels.signatures(kernels.SOURCE.read_text())
    assert len(known) == kernels.SOURCE.read_text().count("__global__") == 17
    for arguments in known.values():
        for argument in arguments.split(","):
            kind = argument.replace("const ", "").split()[0]
            assert kind in mx.rtc._DTYPE_CPP_TO_NP
        assert arguments.endswith("int64_t n")


@pytest.mark.parametrize("n", [1, 255, 256, 257, 10**7])
def test_a_launch_has_threads_for_all_elements(monkeypatch, n):
    launched = []

    class Module:
        def __init__(self, source, exports):
            assert 'extern "C" __global__ void add(' in source and "add" in exports

        def get_kernel(self, name, signature):
            return self

        def launch(self, arguments, ctx, grid, block):
            launched.append((arguments, grid, block))

    monkeypatch.setattr(mx.rtc, "CudaModule", Module)
    kernels.Kernels(mx.gpu(0)).launch("add", n, "out", "a", "b")
    [(arguments, (blocks, *_), (threads, *_))] = launched
    assert arguments == ["out", "a", "b", n]
    assert (
        threads <= 1024
        and (blocks - 1) * threads < n
        and (blocks < 8192) <= (blocks * threads >= n)
    )
