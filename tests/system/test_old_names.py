"""What MXNet misses in today's NumPy, Python and onnx: each name, and each number."""

from __future__ import annotations

import math
import multiprocessing
import pickle
import warnings

import gluonbook  # noqa: F401  (provides the names)
from gluonbook.system import old_names
from gluonbook.system.old_names import OLD_NAMES, missing_names
import mxnet as mx
from mxnet import gluon, nd
from mxnet.contrib import quantization
import numpy as np
import pytest

from ..conftest import needs_onnx, python

#: NumPy 1.24 still has some of the names, and warns of them.
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")

A = [[3.0, 1.0, 2.0], [1.0, 2.0, 4.0]]


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("alltrue", ([1, 0],), False),
        ("alltrue", ([1, 2],), True),
        ("sometrue", ([0, 0],), False),
        ("sometrue", ([0, 3],), True),
        ("product", (A,), 48.0),
        ("round_", (2.678, 2), 2.68),
        ("msort", (A,), [[1.0, 1.0, 2.0], [3.0, 2.0, 4.0]]),
        ("in1d", (A, [1, 4]), [False, True, False, True, False, True]),
        ("trapz", ([1.0, 3.0, 2.0],), 4.5),
        ("int", ("7",), 7),
        ("float", ("0.5",), 0.5),
        ("str", (5,), "5"),
        ("complex", (1, 2), 1 + 2j),
    ],
)
def test_a_function_does_what_its_name_did(name, args, expected):
    function = missing_names().get(name) or getattr(np, name)
    np.testing.assert_array_equal(function(*args), expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("PINF", math.inf), ("Inf", math.inf), ("NINF", -math.inf)),
        *(("NAN", math.nan), ("NaN", math.nan), ("PZERO", 0.0), ("NZERO", -0.0)),
    ],
)
def test_a_constant_is_what_its_name_says(name, expected):
    found = OLD_NAMES[name]
    np.testing.assert_equal(found, expected)
    assert math.copysign(1, found) == math.copysign(1, expected)


@pytest.mark.parametrize("name", ["mirr", "npv", "pmt", "ppmt", "pv", "rate"])
def test_a_function_of_finance_says_where_it_is(name):
    with pytest.raises(RuntimeError, match=f"no {name} any more: it is in the package numpy-fin"):
        OLD_NAMES[name](1, 2)


def test_text_that_mxnet_reads_is_a_string():
    assert OLD_NAMES["compat"].basestring is str


def test_mxnet_has_every_name_and_numpy_is_as_others_left_it():
    code = (
        "import numpy as np; before = dict(vars(np)); import gluonbook\n"
        "from gluonbook.system.old_names import OLD_NAMES\n"
        "import mxnet.numpy.fallback as fallback\n"
        "new = set(vars(np)) - set(before)\n"
        "print(all(hasattr(fallback.onp, name) for name in OLD_NAMES), new & set(OLD_NAMES))"
    )
    assert python("import warnings; warnings.simplefilter('ignore')\n" + code).stdout == (
        "True set()\n"
    )


def test_functions_that_mxnet_takes_from_numpy_by_these_names_work():
    x = mx.np.array(A)
    np.testing.assert_array_equal(mx.np.msort(x).asnumpy(), np.sort(A, axis=0))
    assert bool(mx.np.alltrue(x))
    found = mx.np.in1d(x, mx.np.array([1.0])).asnumpy()
    np.testing.assert_array_equal(found, np.ravel(A) == 1)
    assert float(mx.np.trapz(mx.np.array([1.0, 3.0, 2.0]))) == 4.5


def test_numpys_numbers_reach_the_library_as_numbers(tmp_path):
    three = np.int64(3)
    assert mx.sym.var("x", shape=(three, np.int32(2))).attr("__shape__") == "(3, 2)"
    assert nd.zeros((1, 4)).reshape((np.int64(2), np.int64(2))).shape == (2, 2)
    np.savetxt(tmp_path / "x.csv", np.arange(6).reshape(2, 3), delimiter=",")
    rows = mx.io.CSVIter(data_csv=str(tmp_path / "x.csv"), data_shape=(three,), batch_size=2)
    np.testing.assert_array_equal(next(rows).data[0].asnumpy(), [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize("kind", ["MAE", "Loss"])
def test_a_metric_adds_up_in_float64(kind):
    """2²⁴ + 1 + 1 is 2²⁴ in float32."""
    metric = getattr(mx.metric, kind)()
    for value in (2**24, 1, 1):
        metric.update([nd.zeros(1)], [nd.array([value])])
    assert metric.get()[1] == (2**24 + 2) / 3
    metric.reset()
    assert metric.sum_metric == 0


def test_thresholds_of_int8_are_computed_in_float64():
    """From 0.1 the threshold grows by three of 11 steps, to take 0.15 in."""
    low, old, new = map(np.float32, (-0.02, 0.1, 0.15))
    hist, edges = np.histogram([0.05], bins=11, range=(-float(old), float(old)))
    before = (hist, edges, np.float32(-0.1), old, old)
    merged = quantization.combine_histogram(before, np.array([new, low]), low, new, new)
    assert merged[0].tolist() == [0] * 7 + [1] + [0] * 3 + [1] + [0] * 4 + [1]
    assert merged[-1] == 3 * (2 * float(old) / 11) + float(old)


def test_a_learning_rate_of_numpys_is_computed_with_in_float64():
    """0.1 in float32, times 0.9 once and twice; and Adamax's rate beside the same in Python's."""
    rate = np.float32(0.1)
    schedule = mx.lr_scheduler.FactorScheduler(1, 0.9, base_lr=rate)
    expected = [float(rate), float(rate) * 0.9, float(rate) * 0.9 * 0.9]
    assert [schedule(step) for step in (1, 2, 3)] == expected

    def after_a_step(number):
        optimizer = mx.optimizer.Adamax(learning_rate=number(rate), beta1=number(np.float32(0.7)))
        weight, grad = nd.ones(1, dtype="float64"), nd.ones(1, dtype="float64")
        optimizer.update(0, weight, grad, optimizer.create_state(0, weight))
        optimizer.set_learning_rate(number(rate))
        return weight.asscalar(), optimizer.learning_rate * 0.9

    assert after_a_step(np.float32) == after_a_step(np.float64) == after_a_step(float)


def test_a_multiple_of_the_learning_rate_is_computed_in_float64():
    tenth = np.float32(0.1)
    weight = gluon.Parameter("w", shape=(1,), lr_mult=tenth, wd_mult=tenth)
    weight.initialize(mx.init.One())
    trainer = gluon.Trainer([weight], "adamax", {"learning_rate": 0.05, "wd": 0.3})
    assert trainer.learning_rate * weight.lr_mult == 0.05 * float(tenth)
    assert trainer._optimizer._get_lr(0) == 0.05 * float(tenth)
    assert trainer._optimizer._get_wd(0) == 0.3 * float(tenth)


def test_a_record_keeps_several_labels():
    header = mx.recordio.IRHeader(0, [1.0, 2.5], 7, 0)
    found, content = mx.recordio.unpack(mx.recordio.pack(header, b"content"))
    assert found.label.tolist() == [1.0, 2.5] and (found.id, content) == (7, b"content")


def test_what_numpy_gives_as_a_named_tuple_is_a_tuple_of_mxnets_arrays():
    x = mx.np.array([[2.0, 1.0], [1.0, 3.0]])
    q, r = mx.np.linalg.qr(x)
    np.testing.assert_allclose(mx.np.dot(q, r).asnumpy(), x.asnumpy(), rtol=1e-6)


class Squares(gluon.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return nd.array([i * i]), i


def test_workers_of_a_dataloader_are_forked():
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system has no fork")
    assert gluon.data.dataloader.multiprocessing.get_context().get_start_method() == "fork"
    batches = list(gluon.data.DataLoader(Squares(), 3, num_workers=2))
    assert [X.asnumpy().ravel().tolist() for X, _ in batches] == [[0, 1, 4], [9, 16, 25]]


def test_a_module_of_mxnets_says_where_its_source_is():
    assert mx.metric.__spec__.loader.get_source("mxnet.metric").startswith("# Licensed")
    assert pickle.loads(pickle.dumps(mx.metric.Accuracy)) is mx.metric.Accuracy


@needs_onnx
def test_the_exporter_finds_the_numbers_of_onnxs_types():
    """As the standard numbers them: float 1, uint8 2, int8 3, int64 7, double 11."""
    numbers = {"float32": 1, "uint8": 2, "int8": 3, "int64": 7, "float64": 11}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # onnx 1.17 has it, and warns of it
        from onnx.mapping import NP_TYPE_TO_TENSOR_TYPE, TENSOR_TYPE_TO_NP_TYPE

        found = {name: NP_TYPE_TO_TENSOR_TYPE[np.dtype(name)] for name in numbers}
        back = {TENSOR_TYPE_TO_NP_TYPE[number].name: number for number in numbers.values()}
    assert found == back == numbers


def test_a_version_compares_by_its_numbers():
    version = old_names._Version
    assert version("1.9.1") < version("1.10") < version("2.0.0rc1")
