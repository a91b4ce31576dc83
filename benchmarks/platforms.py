"""Numbers of MXNet's own surface on this Python and NumPy beside those of other environments.

Each probe is a call or a short program. Its digest is made of the types, shapes and bytes of what
it gives, or is the error that it raises. All environments compute on one thread of one machine.
A probe that differs needs its reason in `REASONS`, or the script ends with exit code 1.
"""

from __future__ import annotations

from functools import partial
import hashlib
import io
import itertools
import json
import logging
import os
from pathlib import Path
import pickle
import platform
import random
import subprocess
import sys
import tempfile
from typing import Any, Callable, Iterator
import warnings

import gluonbook  # noqa: F401  (MXNet can be imported only after it)
import mxnet as mx
from mxnet import autograd, gluon, nd, sym
from mxnet.contrib import quantization
from mxnet.gluon import data as gdata
from mxnet.gluon import nn, rnn
import numpy as np
from PIL import Image

import results

#: Why a probe gives something else in an environment with another NumPy.
REASONS = {
    "numbers: beyond a type's range": "NumPy 2 refuses 300 and -1 as uint8; 1.23 takes 44 and 255",
    "numbers: bfloat16 by name": "an error in both; NumPy knows the name only beside ml_dtypes",
    "initialisers: Orthogonal": "singular vectors from NumPy's OpenBLAS, which differs in rounding",
    "mx.np: alltrue": "an array of MXNet's that holds True, where NumPy 1.23 gives its own True",
    "mx.np: histogram2d": "NumPy 2 gives the edges of the bins in float32, as the numbers are",
    "mx.np: linalg.lstsq": "computed by NumPy's OpenBLAS, which differs in rounding",
    "mx.np: polyfit": "computed by NumPy's OpenBLAS, which differs in rounding",
}
#: Groups whose numbers are copies, counts and sums, so that no processor rounds them otherwise.
EXACT = ("numbers", "schedules", "counts", "data")

Probes = Iterator["tuple[str, Callable[[], Any]]"]


def uniform(*shape: int, low: float = 0.25, high: float = 2.0) -> nd.NDArray:
    return nd.array(np.random.RandomState(0).uniform(low, high, shape))


def integers(*shape: int, below: int) -> nd.NDArray:
    return nd.array(np.random.RandomState(0).randint(0, below, shape))


def with_gradient(function: Callable[..., Any], *arrays: nd.NDArray) -> list:
    """What a function gives, and the gradient of each array."""
    for array in arrays:
        array.attach_grad()
    with autograd.record():
        out = function(*arrays)
    autograd.backward(out)
    return [out, [array.grad for array in arrays]]


# --- arrays ------------------------------------------------------------------------------------


def numbers() -> Probes:
    """NumPy's numbers where MXNet, or its library, reads numbers."""
    x = nd.arange(24).reshape((2, 3, 4))
    two, three = np.int64(2), np.int32(3)
    for name, kind in itertools.product(("float32", "float64", "int64", "float16"), "+-*/%"):
        number = np.dtype(name).type(3)
        apply = {
            "+": lambda a, b: a + b,
            "-": lambda a, b: a - b,
            "*": lambda a, b: a * b,
            "/": lambda a, b: a / b,
            "%": lambda a, b: a % b,
        }[kind]
        yield f"array {kind} {name}", partial(lambda f, n: [f(x, n), f(n, x)], apply, number)
    yield "comparisons", lambda: [x > np.float32(3), x == three, np.float32(3) < x]
    yield "shapes", lambda: [nd.zeros((two, three)), nd.full((two,), 2.5), nd.ones(three)]
    yield "reshape", lambda: [x.reshape((three, -1)), nd.reshape(x, shape=(two, two, 6))]
    yield "axes", lambda: [x.sum(axis=np.int64(1)), nd.transpose(x, axes=(two, np.int64(0), 1))]
    yield "slices", lambda: [x[np.int64(1)], x[:, np.int64(1) : three], x[np.array([1, 0])]]
    yield "slice by tuples", lambda: nd.slice(x[0], begin=(np.int64(0), 1), end=(two, three))
    yield "assignment", lambda: _assigned(x.copy())
    yield "limits", lambda: nd.clip(x, a_min=np.float32(1.5), a_max=np.float64(3.25))
    yield (
        "a tuple of floats",
        lambda: nd.image.normalize(
            nd.ones((3, 2, 2)), mean=tuple(np.float64([0, 1, 2])), std=tuple(np.float32([1, 2, 4]))
        ),
    )
    yield (
        "arrays of numbers",
        lambda: [
            nd.array(each)
            for each in ([np.float32(1), np.float64(2)], np.int64(3), [True], [[1, 2]])
        ],
    )
    yield "scalars", lambda: [float(x.sum().asscalar()), int(x[0, 0, 1].asscalar())]
    for dtype in ("float16", "float64", "uint8", "int8", "int32", "int64", "bool"):
        yield (
            f"as {dtype}",
            partial(lambda dtype: [x.astype(dtype), nd.ones(2, dtype=dtype)], dtype),
        )
    yield "uint8 and numbers", lambda: [nd.array([250], dtype="uint8") + 10, x.astype("uint8") - 1]
    yield "large integers", lambda: nd.array([2**40 + 1], dtype="int64")
    yield "beyond a type's range", lambda: nd.array([300, -1], dtype="uint8")
    yield "bfloat16 by name", lambda: nd.ones(2).astype("bfloat16")
    yield "an array's text", lambda: [repr(nd.arange(3)), str(nd.ones((2, 2), dtype="int32"))]
    yield "take, pick", lambda: [x[0].take(nd.array([0, 2])), x[0].pick(nd.array([0, 1, 2]))]
    yield "order", lambda: [nd.topk(x, k=2, ret_typ="both"), x.argsort(), x.argmax(axis=2)]
    yield "one_hot", lambda: nd.one_hot(nd.array([0, 2]), three)
    yield "boolean_mask", lambda: nd.contrib.boolean_mask(x[0], nd.array([1, 0, 1]))
    yield "pickle", lambda: pickle.loads(pickle.dumps(x))
    yield "dlpack", lambda: nd.from_dlpack(nd.to_dlpack_for_read(x))
    yield "from_numpy", lambda: nd.from_numpy(np.arange(4, dtype="float32"))
    yield (
        "split_and_load",
        lambda: gluon.utils.split_and_load(np.arange(12).reshape(4, 3), [mx.cpu(0), mx.cpu(1)]),
    )
    yield "sparse", _sparse
    yield "KVStore", _kvstore
    yield (
        "loops",
        lambda: [
            nd.contrib.foreach(lambda a, s: (a + s, a + s), x[0], nd.zeros(4))[0],
            nd.contrib.while_loop(
                lambda i: i < 5, lambda i: (i, i + 1), nd.zeros(1), max_iterations=np.int64(5)
            )[0],
            nd.contrib.cond(nd.ones(1) > 0, lambda: nd.ones(1), lambda: nd.zeros(1)),
        ],
    )


def _assigned(x: nd.NDArray) -> nd.NDArray:
    x[np.int64(0), 1], x[:, np.int32(2)] = np.float32(7), 3
    x[0, np.array([0, 1]), np.array([0, 1])] = nd.array([9, 8])
    return x


def _sparse() -> list:
    rows = nd.sparse.row_sparse_array((np.ones((2, 3)), np.array([0, 2])), shape=(4, 3))
    numbers = np.array([1, 2], dtype="float32"), np.array([0, 1]), np.array([0, 1, 2])
    matrix = nd.sparse.csr_matrix(numbers, shape=(2, 2))
    kept = nd.sparse.retain(rows, nd.array([0]))
    return [rows, matrix, kept, matrix[0:1], nd.dot(matrix, nd.ones((2, 2)))]


def _kvstore() -> nd.NDArray:
    store, out = mx.kv.create("local"), nd.zeros((2, 3))
    store.init(3, nd.ones((2, 3)))
    store.push(3, [nd.ones((2, 3)) * 2] * 3)
    store.set_optimizer(mx.optimizer.SGD(learning_rate=np.float32(0.5)))
    store.push(3, nd.ones((2, 3)))
    store.pull(3, out=out)
    return out


def operators() -> Probes:
    unary = "abs sign floor ceil rint sqrt rsqrt cbrt square reciprocal exp expm1 log log10 log1p "
    unary += "sin cos tan arctan sinh cosh tanh arcsinh sigmoid softsign relu erf gamma gammaln "
    unary += "softmax log_softmax logsumexp norm sum mean prod max min nansum cumsum flatten"
    for name in unary.split():
        function = getattr(nd, name, None) or _COMPOSED[name]
        yield name, partial(lambda f: with_gradient(f, uniform(3, 4)), function)
    binary = "dot linalg_gemm2 batch_dot broadcast_mul broadcast_div broadcast_power "
    for name in (binary + "broadcast_hypot broadcast_maximum").split():
        yield name, partial(_of_two, getattr(nd, name), 3 if name == "batch_dot" else 2)
    square = partial(uniform, 4, 4)
    positive = partial(lambda make: nd.dot(make(), make().T) + nd.eye(4), square)
    for name in ("potrf", "sumlogdiag", "det", "inverse", "syevd", "gelqf"):
        yield f"linalg.{name}", partial(lambda f: f(positive()), getattr(nd.linalg, name))
    yield "second derivative", _second_derivative
    yield "autograd.Function", lambda: with_gradient(Squared(), uniform(3))
    yield "Custom", lambda: with_gradient(partial(nd.Custom, op_type="squared"), uniform(3))
    yield "clip_global_norm", lambda: gluon.utils.clip_global_norm([uniform(9), uniform(4)], 1.0)
    yield "CTC", lambda: gluon.loss.CTCLoss()(uniform(2, 20, 4), nd.array([[1, 0], [2, 1]]))


_COMPOSED = {
    "logsumexp": lambda x: nd.log(nd.exp(x).sum(axis=1)),
    "cumsum": lambda x: nd.contrib.foreach(lambda a, s: (a + s, a + s), x, nd.zeros(4))[0],
}


def _of_two(function: Callable[..., Any], ndim: int) -> list:
    shape = (2, 4, 4)[3 - ndim :]
    return with_gradient(function, uniform(*shape), uniform(*shape) + 0.5)


def _second_derivative() -> nd.NDArray:
    x = uniform(3)
    x.attach_grad()
    with autograd.record():
        [slope] = autograd.grad(nd.sin(x), [x], create_graph=True, retain_graph=True)
    slope.backward()
    return x.grad


class Squared(autograd.Function):
    def forward(self, x: nd.NDArray) -> nd.NDArray:
        self.save_for_backward(x)
        return x * x

    def backward(self, slope: nd.NDArray) -> nd.NDArray:
        [x] = self.saved_tensors
        return 2 * x * slope


class SquaredOp(mx.operator.CustomOp):
    def forward(self, is_train: Any, req: Any, in_data: Any, out_data: Any, aux: Any) -> None:
        self.assign(out_data[0], req[0], in_data[0] ** 2)

    def backward(
        self, req: Any, out_grad: Any, in_data: Any, out_data: Any, in_grad: Any, aux: Any
    ) -> None:
        self.assign(in_grad[0], req[0], 2 * in_data[0] * out_grad[0])


@mx.operator.register("squared")
class SquaredProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx: Any, shapes: Any, dtypes: Any) -> SquaredOp:
        return SquaredOp()


def randomness() -> Probes:
    draws = {
        **{"uniform": (np.float32(0.25), np.float64(2)), "normal": (0, np.float32(2))},
        **{"exponential": (2,), "gamma": (2, 3), "poisson": (4,), "randint": (0, 10)},
        **{"negative_binomial": (3, 0.5), "generalized_negative_binomial": (2, 0.5)},
    }
    for name, args in draws.items():
        function = getattr(nd.random, name)
        yield name, partial(lambda f, a: f(*a, shape=(np.int64(5),)), function, args)
    yield "multinomial", lambda: nd.random.multinomial(nd.array([0.2, 0.8]), shape=5)
    yield "shuffle", lambda: nd.random.shuffle(nd.arange(10))


# --- training ----------------------------------------------------------------------------------


def a_net(hybrid: bool = True) -> nn.HybridSequential:
    net = nn.HybridSequential()
    net.add(nn.Conv2D(6, 3, activation="relu"), nn.BatchNorm(), nn.MaxPool2D(2))
    net.add(nn.Dropout(0.3), nn.Flatten(), nn.Dense(10))
    net.initialize(mx.init.Xavier())
    if hybrid:
        net.hybridize()
    return net


def trained(optimizer: Any, hybrid: bool = True, **settings: Any) -> list:
    """The losses of three steps, and the parameters after them."""
    net, out = a_net(hybrid), []
    trainer = gluon.Trainer(net.collect_params(), optimizer, settings)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    for _ in range(3):
        X, y = nd.random.uniform(shape=(8, 1, 12, 12)), nd.arange(8)
        with autograd.record():
            batch_loss = loss(net(X), y)
        batch_loss.backward()
        trainer.step(8)
        out.append(batch_loss)
    return [out, [p.data() for p in net.collect_params().values()]]


def layers() -> Probes:
    made = {
        "Dense": lambda: nn.Dense(3, activation="tanh"),
        "Conv2D": lambda: nn.Conv2D(np.int64(4), (np.int64(3), 3), strides=2, padding=1),
        "Conv2DTranspose": lambda: nn.Conv2DTranspose(4, 3, strides=2),
        "BatchNorm": nn.BatchNorm,
        "LayerNorm": nn.LayerNorm,
        "InstanceNorm": nn.InstanceNorm,
        "GroupNorm": lambda: nn.GroupNorm(2),
        "MaxPool2D": nn.MaxPool2D,
        "AvgPool2D": nn.AvgPool2D,
        "GlobalAvgPool2D": nn.GlobalAvgPool2D,
        "PReLU": nn.PReLU,
        "ELU": lambda: nn.ELU(np.float32(0.3)),
        "GELU": nn.GELU,
        "Swish": nn.Swish,
        "LeakyReLU": lambda: nn.LeakyReLU(np.float32(0.1)),
        "Dropout": lambda: nn.Dropout(0.5),
    }
    for name, make in made.items():
        yield name, partial(_layer, make, (2, 4, 6, 6))
    for name in ("RNN", "LSTM", "GRU"):
        make = partial(getattr(rnn, name), 5, num_layers=2, bidirectional=True)
        yield name, partial(_layer, make, (3, 2, 4))
    yield "LSTMCell", lambda: _unrolled(rnn.LSTMCell(4))
    yield "Embedding", _embedding
    yield (
        "mobilenetv2_0.25",
        lambda: _layer(
            partial(gluon.model_zoo.vision.mobilenet_v2_0_25, classes=10), (1, 3, 64, 64)
        ),
    )
    yield "summary", _summary
    yield "operator by operator", lambda: trained("sgd", hybrid=False, learning_rate=0.1)


def _layer(make: Callable[[], nn.Block], shape: tuple[int, ...]) -> list:
    layer = make()
    layer.initialize(mx.init.Xavier())
    out = with_gradient(layer, uniform(*shape))
    return [out, [p.grad() for p in layer.collect_params().values() if p.grad_req != "null"]]


def _embedding() -> list:
    """Whose gradient is sparse."""
    layer = nn.Embedding(10, 4, sparse_grad=True)
    layer.initialize(mx.init.Xavier())
    trainer = gluon.Trainer(layer.collect_params(), "adagrad", {"learning_rate": 0.1})
    with autograd.record():
        out = layer(nd.array([1, 2]))
    out.backward()
    trainer.step(1)
    return [out, layer.weight.data()]


def _unrolled(cell: rnn.RecurrentCell) -> nd.NDArray:
    cell.initialize(mx.init.Xavier())
    return cell.unroll(3, uniform(2, 3, 4), merge_outputs=True)[0]


def _summary() -> str:
    net, out = a_net(hybrid=False), io.StringIO()
    before, sys.stdout = sys.stdout, out
    try:
        net.summary(nd.ones((1, 1, 12, 12)))
    finally:
        sys.stdout = before
    return out.getvalue()


def optimizers() -> Probes:
    names = "sgd nag adam adagrad rmsprop adadelta ftrl adamax nadam signum sgld dcasgd ftml lamb "
    for name in (names + "lars lbsgd").split():
        yield name, partial(trained, name, learning_rate=0.05, wd=1e-3)
        numbers = {"learning_rate": np.float32(0.05), "wd": np.float32(1e-3)}
        yield f"{name}, NumPy's numbers", partial(trained, name, **numbers)
    yield (
        "momentum, clipped",
        lambda: trained("sgd", learning_rate=0.05, momentum=0.9, clip_gradient=np.float32(0.1)),
    )
    yield "multi_precision", lambda: trained("sgd", learning_rate=0.05, multi_precision=True)
    schedule = partial(mx.lr_scheduler.PolyScheduler, 5, base_lr=np.float32(0.1))
    yield "a schedule", lambda: trained("sgd", learning_rate=0.1, lr_scheduler=schedule())


def schedules() -> Probes:
    of = mx.lr_scheduler
    for name, base in (("", 0.1), (", NumPy's number", np.float32(0.1))):
        made = {
            "FactorScheduler": partial(of.FactorScheduler, 2, 0.9, base_lr=base),
            "MultiFactorScheduler": partial(
                of.MultiFactorScheduler, [2, 4], 0.3, base_lr=base, warmup_steps=2
            ),
            "PolyScheduler": partial(of.PolyScheduler, 10, base_lr=base, pwr=1),
            "CosineScheduler": partial(of.CosineScheduler, 10, base_lr=base, warmup_steps=3),
        }
        for kind, make in made.items():
            yield kind + name, partial(lambda make: _rates(make()), make)


def _rates(schedule: Any) -> list:
    return [schedule(step) for step in range(1, 10)]


def initialisers() -> Probes:
    of = mx.init
    made = {
        "Xavier": of.Xavier,
        "Xavier, NumPy's number": lambda: of.Xavier(magnitude=np.float32(2.24)),
        "MSRAPrelu": of.MSRAPrelu,
        "Normal": lambda: of.Normal(np.float32(0.02)),
        "Uniform": lambda: of.Uniform(np.float32(0.1)),
        "Orthogonal": of.Orthogonal,
        "Bilinear": of.Bilinear,
        "Constant": lambda: of.Constant(np.float32(0.5)),
        "One": of.One,
    }
    for name, make in made.items():
        yield name, partial(lambda make: _initialised(make()), make)


def _initialised(initialiser: Any) -> nd.NDArray:
    parameter = gluon.Parameter("w_weight", shape=(4, 3, 4, 4))
    parameter.initialize(initialiser)
    return parameter.data()


def counts() -> Probes:
    """Metrics that count, and sums beyond what float32 holds."""
    of = mx.metric
    made = {
        **{"Accuracy": of.Accuracy, "TopKAccuracy": partial(of.TopKAccuracy, 2), "F1": of.F1},
        **{"MCC": of.MCC, "CustomMetric": lambda: of.np(lambda y, p: np.float32(y.sum()))},
    }
    for name, make in made.items():
        yield name, partial(lambda make: _measured(make()), make)
    for name in ("MAE", "MSE", "RMSE", "Loss"):
        yield name, partial(lambda name: _large_sum(getattr(of, name)()), name)


def metrics() -> Probes:
    of = mx.metric
    made = {
        **{"CrossEntropy": of.CrossEntropy, "NegativeLogLikelihood": of.NegativeLogLikelihood},
        **{"Perplexity": partial(of.Perplexity, None), "PCC": of.PCC},
        **{"composite": partial(of.create, ["acc", "ce"])},
    }
    for name, make in made.items():
        yield name, partial(lambda make: _measured(make()), make)
    for name in ("MAE", "MSE", "RMSE", "PearsonCorrelation"):
        yield name, partial(lambda name: _measured(getattr(of, name)(), one=True), name)


def _measured(metric: Any, one: bool = False) -> object:
    rng = np.random.RandomState(0)
    for _ in range(7):
        first = rng.randint(1, 16, 16) / 16
        p = nd.array(np.stack([first, 1 - first], axis=1))
        metric.update([nd.array(rng.randint(0, 2, 16))], [p[:, 0] if one else p])
    return metric.get()


def _large_sum(metric: Any) -> object:
    for value in (2**12, 1, 3, 2**12):
        metric.update([nd.zeros(1)], [nd.array([value])])
    return [metric.get(), metric.sum_metric]


def losses() -> Probes:
    names = "L1Loss L2Loss SigmoidBCELoss KLDivLoss HuberLoss HingeLoss LogisticLoss PoissonNLLLoss"
    for name in (names + " SquaredHingeLoss CosineEmbeddingLoss TripletLoss").split():
        yield name, partial(_loss, name)


def _loss(name: str) -> list:
    loss, a, b = getattr(gluon.loss, name)(), uniform(4, 5), uniform(4, 5) * 0.5
    third = {"CosineEmbeddingLoss": [nd.ones(4)], "TripletLoss": [b + 1]}.get(name, [])
    return with_gradient(lambda a: loss(a, b, *third), a)


# --- data --------------------------------------------------------------------------------------


class Items(gdata.Dataset):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, i: int) -> tuple:
        return nd.ones(2) * i, np.float32(i), int(i), np.int64(i)


def data() -> Probes:
    array = np.arange(20, dtype="float32").reshape(10, 2)
    for settings in ({}, {"num_workers": 2}, {"num_workers": 2, "thread_pool": True}):
        name = "DataLoader" + "".join(f", {key}={value}" for key, value in settings.items())
        yield name, partial(lambda s: list(gdata.DataLoader(Items(), 4, **s)), settings)
    shuffled = partial(gdata.DataLoader, batch_size=4, shuffle=True)
    yield "shuffled", lambda: list(shuffled(gdata.ArrayDataset(array, np.arange(10))))
    yield (
        "transformed by a lambda",
        lambda: list(
            gdata.DataLoader(
                gdata.SimpleDataset(array).transform(lambda x: x * 2), 3, num_workers=1
            )
        ),
    )
    yield (
        "samplers",
        lambda: [
            list(gdata.RandomSampler(10)),
            list(gdata.BatchSampler(gdata.SequentialSampler(10), 3, "rollover")),
        ],
    )
    yield (
        "NDArrayIter",
        lambda: [
            [*batch.data, *batch.label, batch.pad]
            for batch in mx.io.NDArrayIter({"a": array}, np.arange(10), 4, shuffle=True)
        ],
    )
    for name, text in (("CSVIter", "1,2,3\n4,5,6\n"), ("LibSVMIter", "1 0:0.5 2:1.5\n2 1:0.25\n")):
        yield name, partial(_of_text, getattr(mx.io, name), name, text)
    yield "recordio", _records
    yield "saved arrays", _saved
    yield "vocabulary", _vocabulary


def _of_text(make: Callable[..., Any], name: str, text: str) -> list:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.txt")
        path.write_text(text)
        key = {"CSVIter": "data_csv", "LibSVMIter": "data_libsvm"}[name]
        rows = make(**{key: str(path)}, data_shape=(np.int64(3),), batch_size=2)
        return [batch.data[0].asnumpy() for batch in rows]


def _png() -> bytes:
    out = io.BytesIO()
    pixels = np.random.RandomState(0).randint(0, 255, (16, 16, 3))
    Image.fromarray(pixels.astype("uint8")).save(out, "PNG")
    return out.getvalue()


def _records() -> list:
    with tempfile.TemporaryDirectory() as folder:
        index, path = f"{folder}/x.idx", f"{folder}/x.rec"
        writer = mx.recordio.MXIndexedRecordIO(index, path, "w")
        for i in range(4):
            writer.write_idx(i, mx.recordio.pack(mx.recordio.IRHeader(0, float(i), i, 0), _png()))
        writer.close()
        several = mx.recordio.pack(mx.recordio.IRHeader(0, [1, 2.5], 1, 0), b"x")
        shape = tuple(np.array([3, 16, 16]))
        by_library = mx.io.ImageRecordIter(path_imgrec=path, data_shape=shape, batch_size=2)
        by_python = mx.image.ImageIter(2, (3, 16, 16), path_imgrec=path, path_imgidx=index)
        return [
            several,
            list(mx.recordio.unpack(several)[0].label),
            [[*batch.data, *batch.label] for batch in by_library],
            [[*batch.data, *batch.label] for batch in by_python],
            list(gdata.vision.ImageRecordDataset(path)[1]),
        ]


def _saved() -> list:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.params")
        nd.save(str(path), {"a": nd.arange(3), "b": nd.zeros(2, dtype="int8")})
        return [path.read_bytes(), nd.load(str(path))]


def _vocabulary() -> list:
    from collections import Counter

    from mxnet.contrib import text

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "x.txt").write_text("a 0.5 0.25\nb 0.125 1\n")
        words = text.vocab.Vocabulary(Counter("aab"))
        vectors = text.embedding.CustomEmbedding(f"{folder}/x.txt", vocabulary=words)
        return [words.to_indices(["a", "zz"]), vectors.get_vecs_by_tokens(["a", "b"])]


def images() -> Probes:
    of = gdata.vision.transforms
    pixels = integers(20, 24, 3, below=256).astype("uint8")
    made = {
        **{
            "ToTensor": of.ToTensor(),
            "Resize": of.Resize((12, 10)),
            "CenterCrop": of.CenterCrop(8),
        },
        **{"Resize, ratio kept": of.Resize(10, keep_ratio=True), "Cast": of.Cast("float16")},
        **{"RandomResizedCrop": of.RandomResizedCrop(8), "CropResize": of.CropResize(1, 2, 8, 8)},
        **{"RandomFlipLeftRight": of.RandomFlipLeftRight(), "RandomHue": of.RandomHue(0.1)},
        **{"RandomBrightness": of.RandomBrightness(0.2), "RandomLighting": of.RandomLighting(0.1)},
        **{"RandomContrast": of.RandomContrast(0.2), "RandomSaturation": of.RandomSaturation(0.2)},
        **{"RandomColorJitter": of.RandomColorJitter(0.1, 0.1, 0.1, 0.1)},
    }
    for name, transform in made.items():
        yield name, partial(lambda f: f(pixels), transform)
    normalize = of.Normalize(tuple(np.array([0.1, 0.2, 0.3])), tuple(np.float32([0.5, 0.25, 1])))
    yield "Normalize", lambda: normalize(of.ToTensor()(pixels))
    yield "imdecode", lambda: mx.image.imdecode(_png())
    yield "resize_short", lambda: mx.image.resize_short(pixels, 16)
    yield (
        "random_size_crop",
        lambda: mx.image.random_size_crop(pixels, (8, 8), (0.1, 1.0), (3 / 4, 4 / 3)),
    )
    yield "CreateAugmenter", lambda: _augmented(pixels)


def _augmented(image: nd.NDArray) -> list:
    out = [image]
    shares = dict.fromkeys(("brightness", "contrast", "saturation", "hue", "pca_noise"), 0.1)
    flags = {"rand_crop": True, "rand_resize": True, "rand_mirror": True, "mean": True, "std": True}
    for change in mx.image.CreateAugmenter(
        (3, 16, 16), resize=18, rand_gray=0.1, **flags, **shares
    ):
        out.append(change(out[-1]))
    return out


# --- symbols, NumPy's interface, other forms ----------------------------------------------------


def symbols() -> Probes:
    x = sym.var("x", shape=(np.int64(2), np.int64(3)))
    dense = partial(sym.FullyConnected, x, num_hidden=np.int64(4), name="dense")
    pooled = partial(sym.Pooling, kernel=(np.int64(2), 2), pool_type="max", name="pool")
    yield "JSON", lambda: pooled(sym.Convolution(x, kernel=(3, 3), num_filter=2, name="c")).tojson()
    yield "shapes", lambda: dense().infer_shape()
    yield "bound", lambda: _bound(dense())
    yield "numbers", lambda: (np.float32(2) * (x * np.float32(0.1) + 2)).eval(x=nd.ones((2, 3)))
    yield "Module", _module
    yield "exported, read again", _exported
    yield "Monitor", lambda: _monitored(dense())
    yield "printed", lambda: mx.viz.print_summary(dense(), {"x": (2, 3)})
    yield "AMP", lambda: _in_float16(dense())


def _bound(symbol: Any) -> list:
    executor = symbol.simple_bind(mx.cpu(), x=(2, 3))
    for i, array in enumerate(executor.arg_arrays):
        array[:] = uniform(*array.shape) + i
    out = executor.forward(is_train=True)
    executor.backward([nd.ones((2, 4))])
    return [out, executor.grad_arrays]


def _module() -> list:
    rng = np.random.RandomState(0)
    batches = mx.io.NDArrayIter(rng.rand(40, 5).astype("float32"), np.arange(40) % 3, 8)
    output = sym.FullyConnected(sym.var("data"), num_hidden=3, name="dense")
    module = mx.mod.Module(sym.SoftmaxOutput(output, name="softmax"))
    module.fit(batches, num_epoch=2, initializer=mx.init.Xavier())
    return [module.get_params()[0], module.score(batches, ["acc", "ce"])]


def _exported() -> list:
    net, X = a_net(), nd.ones((1, 1, 12, 12))
    with tempfile.TemporaryDirectory() as folder:
        out = net(X)
        net.export(f"{folder}/net")
        files = (f"{folder}/net-symbol.json", ["data"], f"{folder}/net-0000.params")
        return [out, gluon.SymbolBlock.imports(*files)(X)]


def _monitored(symbol: Any) -> list:
    monitor = mx.monitor.Monitor(1, stat_func=lambda x: x.abs().mean())
    executor = symbol.simple_bind(mx.cpu(), x=(2, 3))
    monitor.install(executor)
    monitor.tic()
    executor.forward()
    return monitor.toc()


def _in_float16(symbol: Any) -> str:
    from mxnet.contrib import amp

    parameters = {"dense_weight": nd.ones((4, 3)), "dense_bias": nd.zeros(4)}
    return amp.convert_model(symbol, parameters, {}, target_dtype="float16")[0].tojson()


def numpys_interface() -> Probes:
    """MXNet's own functions, then those that it takes from NumPy."""
    calls = """
    a.sum(); a.mean(0); a.std(); a * f(2); a[a > 2]; m.linalg.norm(a); m.where(a > 2, a, -a);
    m.concatenate([a, a]); a.astype("int32"); m.array([1, 2], dtype=bool); m.zeros((i(2), i(2)));
    m.pad(a, ((1, 1), (0, 0))); m.einsum("ij->i", a); m.tensordot(a, a.T, 1); m.sort(a);
    m.cumsum(a); m.unique(a); m.diff(a); m.linalg.inv(s); m.linalg.svd(a); m.linalg.eigh(s);
    m.linalg.cholesky(s); m.linalg.solve(s, a.T); m.random.uniform(size=3);
    m.random.normal(size=3); m.random.choice(5, 3); m.msort(a); m.in1d(a, m.array([1.0]));
    m.trapz(a); m.alltrue(a); m.ptp(a); m.cov(a); m.isin(a, a); m.allclose(a, a); m.union1d(a, a);
    m.vander(a[0]); m.nanmax(a); m.interp(a, a[1], a[0]); m.roots(m.array([1.0, -3, 2]));
    m.linalg.qr(a); m.linalg.matrix_rank(a); m.nanmedian(a); m.percentile(a, 30);
    m.searchsorted(a[1], a); m.histogram2d(a[0], a[1]); m.polyfit(a[1], a[0], 1);
    m.linalg.cond(s); m.linalg.lstsq(s, a[0], rcond=None); m.corrcoef(a); m.unwrap(a); m.real(a);
    m.setdiff1d(a, a[0]); m.trim_zeros(m.array([0.0, 1, 0])); m.nanprod(a); m.array_equal(a, a);
    m.apply_along_axis(lambda v: v.sum(), 0, a); m.partition(a, 1); m.digitize(a, a[1]);
    m.quantile(a, 0.3); m.resize(a, (2, 2)); m.mirr([1], 1, 1); n.mean(a); n.concatenate([a, a]);
    n.sum(a, axis=0); n.max(a); n.prod(a); n.stack([a, a]); n.sort(a); n.clip(a, 1, 3);
    n.unique(a); n.var(a); n.linalg.norm(a); n.add(a, a); n.argmax(a); n.round(a)
    """
    for call in map(str.strip, calls.split(";")):
        if call.startswith("m."):
            name = call[2:].split("(")[0]
        else:
            name = f"numpy.{call[2:].split('(')[0]}" if call.startswith("n.") else call
        yield name, partial(_in_numpys_interface, call)


def _in_numpys_interface(call: str) -> Any:
    mx.util.set_np()
    try:
        a, s = mx.np.array([[3.0, 1, 2], [1, 2, 4]]), mx.np.eye(3) * 3 + 1
        names = {"m": mx.np, "n": np, "a": a, "s": s, "f": np.float32, "i": np.int64}
        return eval(call, names)
    finally:
        mx.util.reset_np()


def other_forms() -> Probes:
    for mode in ("naive", "entropy"):
        yield f"int8, {mode}", partial(_quantized, mode)
    yield "onnx", _onnx


def _quantized(mode: str) -> list:
    net, X = a_net(), uniform(4, 1, 12, 12)
    net(X)
    batches = gdata.DataLoader(gdata.ArrayDataset(X, nd.zeros(4)), 2)
    settings = {"calib_mode": mode, "calib_data": batches, "num_calib_examples": 4}
    return quantization.quantize_net(net, quantized_dtype="auto", **settings)(X)


def _onnx() -> list:
    import onnx
    from onnx import numpy_helper

    net, shape = a_net(), (1, 1, 12, 12)
    net(nd.ones(shape))
    with tempfile.TemporaryDirectory() as folder:
        net.export(f"{folder}/net")
        files = (f"{folder}/net-symbol.json", f"{folder}/net-0000.params")
        path = mx.onnx.export_model(*files, [shape], np.float32, f"{folder}/net.onnx")
        graph = onnx.load(path).graph
    return [
        [node.op_type for node in graph.node],
        [numpy_helper.to_array(weight) for weight in graph.initializer],
    ]


GROUPS = {
    "numbers": numbers,
    "operators": operators,
    "random": randomness,
    "layers": layers,
    "optimizers": optimizers,
    "schedules": schedules,
    "initialisers": initialisers,
    "counts": counts,
    "metrics": metrics,
    "losses": losses,
    "data": data,
    "images": images,
    "symbols": symbols,
    "mx.np": numpys_interface,
    "other forms": other_forms,
}


# --- digests -----------------------------------------------------------------------------------


def digest(value: Any) -> str:
    """Twelve digits for the types, shapes and bytes of arrays, and the values of numbers."""
    found = hashlib.sha256()

    def add(part: Any) -> None:
        if hasattr(part, "asnumpy"):
            part = part.asnumpy()
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype}{tuple(map(int, part.shape))}".encode())
            found.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, (bool, int, float, np.generic)):
            found.update(float(part).hex().encode())
        elif isinstance(part, dict):
            add(list(part.items()))
        elif isinstance(part, (list, tuple)):
            found.update(b"[")
            for each in part:
                add(each)
            found.update(b"]")
        else:
            found.update(part if isinstance(part, bytes) else str(part).encode())

    add(value)
    return found.hexdigest()[:12]


def digests(groups: tuple[str, ...] = tuple(GROUPS)) -> dict[str, str]:
    """The digest of each probe, or the error that it ends in."""
    found = {}
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for group in groups:
            for name, call in GROUPS[group]():
                mx.random.seed(1)
                np.random.seed(1)
                random.seed(1)
                with mx.name.NameManager():
                    try:
                        found[f"{group}: {name}"] = digest(call())
                    except Exception as error:
                        found[f"{group}: {name}"] = f"raises {type(error).__name__}"
    logging.disable(logging.NOTSET)
    return found


def here() -> dict:
    return {"python": platform.python_version(), "numpy": np.__version__, "digests": digests()}


def measure(python: str) -> dict:
    """The digests in another environment, or this one."""
    command = [python, __file__, "--here"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"error: {python}: {result.stderr[-2000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def main() -> int:
    parser = results.parser(__doc__)
    parser.add_argument("--beside", nargs="+", default=[], metavar="PYTHON", help="interpreters")
    options = parser.parse_args()
    rows = [measure(python) for python in (sys.executable, *options.beside)]
    first, differing, table = rows[0]["digests"], {}, []
    for row in rows:
        found, numpy = row["digests"], row["numpy"]
        differ = [name for name in first if found[name] != first[name]]
        for name in differ:
            differing.setdefault(name, []).append(numpy)
        same = f"{len(first) - len(differ)} of {len(first)}"
        table.append([row["python"], numpy, same])
    text = results.markdown(["Python", "NumPy", "the same as in the first row"], table)
    for name, versions in differing.items():
        numpy = ", ".join(dict.fromkeys(versions))
        text += f"\n- {name} (NumPy {numpy}): {REASONS.get(name, 'not explained')}."
    title = "Numbers of MXNet's own surface, by Python and NumPy"
    results.write("platforms", options.out, title, text + "\n" * bool(differing), rows)
    return int(not set(REASONS).issuperset(differing))


if __name__ == "__main__":
    if sys.argv[1:] == ["--here"]:
        print(json.dumps(here()))
    else:
        sys.exit(main())
