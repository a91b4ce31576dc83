"""A quantized net: its operators, its answers beside float32, its files, and what is refused."""

from __future__ import annotations

import json
from types import SimpleNamespace

import gluonbook as gb
from gluonbook.data.image_batches import ImageBatches
from gluonbook.export import (
    CALIBRATIONS,
    ParametersError,
    QuantizationError,
    export_symbol,
    import_symbol,
    int8,
    quantizable_layers,
    quantize,
    quantize_within,
    save_parameters,
)
import mxnet as mx
from mxnet import gluon, nd
import numpy as np
import pytest

from ..conftest import initialized, randomized


@pytest.fixture(scope="module")
def images(dataset):
    """512 real training images, float32 (N, 1, 28, 28)."""
    return dataset.train.images[:512] / np.float32(255)


@pytest.fixture(scope="module")
def trained():
    """A LeNet that has learnt from some images for a few seconds."""
    mx.random.seed(1)
    net = gb.lenet()
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.01})
    train, test = gb.load_data_fashion_mnist(64, limit=4096, limit_test=64, seed=1)
    gb.train_ch5(net, train, test, 64, trainer, mx.cpu(), 4)
    return net


def test_inputs_that_are_never_negative_get_seven_bits_without_vnni(
    trained, images, monkeypatch, tmp_path
):
    """Two products of 255 · 127 do not fit into 16 bits, and two of 127 · 127 do."""
    ranges = []
    for has in (["AVX2", "AVX-512 VNNI"], ["AVX2"]):
        monkeypatch.setattr(int8, "instruction_sets", lambda has=has: has)
        export_symbol(quantize(trained, images), tmp_path / "net", images[:1].shape)
        nodes = json.loads((tmp_path / "net-symbol.json").read_text())["nodes"]
        ends = ("min_calib_range", "max_calib_range")
        ranges.append(
            {
                node["name"]: [float(node["attrs"][end]) for end in ends]
                for node in nodes
                if ends[0] in node.get("attrs", {})
            }
        )
    assert ranges[0].keys() == ranges[1].keys()
    unsigned = {name for name, (least, _) in ranges[0].items() if least >= 0}
    assert unsigned and ranges[0].keys() - unsigned  # sigmoids' outputs, and their inputs
    for name, (least, greatest) in ranges[0].items():
        assert ranges[1][name] == [least, (2 if name in unsigned else 1) * greatest]


def test_the_answers_are_nearly_those_of_float32(trained, images, dataset, tmp_path):
    save_parameters(trained, tmp_path / "before")
    quantized = quantize(trained, images)
    save_parameters(trained, tmp_path / "after")
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()

    X = nd.array(dataset.test.images[:2000] / np.float32(255))
    expected, found = trained(X).asnumpy(), quantized(X).asnumpy()
    # Eight bits tell 1/127 of the greatest value apart, in each of five layers.
    assert np.abs(found - expected).max() < 5 / 127 * np.abs(expected).max()
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.98
    assert (found != expected).any()
    for number in (7, 64, 1, 64):  # oneDNN plans for each size
        np.testing.assert_array_equal(quantized(X[:number]).asnumpy(), found[:number])


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_a_quantized_net_is_saved_and_loaded(calibration, trained, images, tmp_path):
    if calibration == "entropy":
        pytest.importorskip("scipy", reason="needs SciPy: pip install -e '.[int8]'")
    quantized = quantize(trained, images, calibration=calibration)
    X = nd.array(images[:32])
    before = quantized(X).asnumpy()
    export_symbol(quantized, tmp_path / "x", X.shape)
    nodes = json.loads((tmp_path / "x-symbol.json").read_text())["nodes"]
    in_int8 = {
        kind: sum(
            node["op"] == kind and node["attrs"].get("quantized", "").lower() == "true"
            for node in nodes
        )
        for kind in ("_sg_mkldnn_conv", "_sg_mkldnn_fully_connected")
    }
    assert in_int8 == {"_sg_mkldnn_conv": 2, "_sg_mkldnn_fully_connected": 3}
    for loaded in (import_symbol(tmp_path / "x"), by_mxnet(tmp_path / "x")):
        np.testing.assert_array_equal(loaded(X).asnumpy(), before)


def by_mxnet(prefix):
    return gluon.SymbolBlock.imports(f"{prefix}-symbol.json", ["data"], f"{prefix}-0000.params")


def test_a_layer_that_is_excluded_stays_in_float32(trained, images):
    first, *others = quantizable_layers(trained)
    assert [first, *others] == ["0", "2", "4", "5", "6"]
    quantized = quantize(trained, images, excluded=others)
    nodes = json.loads(quantized(mx.sym.var("data")).tojson())["nodes"]
    assert sum(node.get("attrs", {}).get("quantized", "").lower() == "true" for node in nodes) == 1
    X = nd.array(images[:32])
    expected, found = trained(X).asnumpy(), quantized(X).asnumpy()
    assert 0 < np.abs(found - expected).max() < 4 / 127 * np.abs(expected).max()


@pytest.mark.parametrize("size", [32, 64])
def test_a_residual_net_with_batch_norm(size):
    """At 32 pixels the last pooling is of a single one, where other graphs of MXNet's fail."""
    net = randomized(gb.resnet(), size, 1)
    X = np.random.rand(8, 1, size, size).astype(np.float32)
    quantized, expected = quantize(net, X), net(nd.array(X)).asnumpy()
    for _ in range(3):
        found = quantized(nd.array(X)).asnumpy()
        # 0.02 with random scales and shifts; 0.14 to 0.3 where sums lose their negative terms.
        assert np.linalg.norm(found - expected) < 0.06 * np.linalg.norm(expected)


def test_the_layers_that_hurt_stay_in_float32(trained, images, dataset, tmp_path):
    """One unit gets weights that leave no bits for those of the others, and is always 0."""
    export_symbol(trained, tmp_path / "x", images[:1].shape)
    net = import_symbol(tmp_path / "x")
    hurt = list(quantizable_layers(net))[2]
    weight = net.collect_params()[f"{hurt}_weight"]
    values = weight.data().asnumpy()
    values[0] = -1000
    weight.set_data(nd.array(values))
    held_out = ImageBatches(*(part[-1000:] for part in dataset.train), 250)

    found = quantize_within(net, images, held_out, at_most=0.01)
    assert found.float32_layers == [hurt]
    images_and_labels = [(X, y.asnumpy()) for X, y in held_out]
    correct = {
        name: np.mean([of(X).asnumpy().argmax(axis=1) == y for X, y in images_and_labels])
        for name, of in (("float32", net), ("int8", found.net))
    }
    assert found.accuracy == pytest.approx(correct)
    assert correct["int8"] > correct["float32"] - 0.01
    assert quantize_within(trained, images, held_out, at_most=0.01).float32_layers == []
    with pytest.raises(
        QuantizationError, match="rightly, .* with 2 of its 5 layers left in float32"
    ):
        quantize_within(trained, images, held_out, at_most=-1)


X = np.zeros((1, 1, 28, 28), np.float32)


@pytest.mark.parametrize(
    ("images", "options", "told"),
    [
        (X.astype(np.uint8), {}, r"float32 images \(N, C, H, W\), not uint8 \(1, 1, 28, 28\)"),
        (X[:0], {}, "not float32 .0, 1, 28, 28"),
        (X[0], {}, "not float32 .1, 28, 28"),
        (np.full_like(X, np.nan), {}, "not a finite number"),
        (X, {"calibration": "median"}, "must be naive or entropy, not 'median'"),
        (
            X,
            {"excluded": ["no\nlayer"]},
            r"has no layer no\\nlayer; it has 0, 2, 4, 5, 6",
        ),
    ],
)
def test_what_is_not_quantized(images, options, told, trained):
    with pytest.raises(QuantizationError, match=told):
        quantize(trained, images, **options)


def test_a_net_that_is_not_quantized(trained, monkeypatch):
    with pytest.raises(ParametersError, match="parameters have no values yet"):
        quantize(gb.lenet(), X)
    double = initialized(gb.lenet(), 28)
    double.cast("float64")
    with pytest.raises(QuantizationError, match="weight is of type float64: cast the net"):
        quantize(double, X)
    with pytest.raises(QuantizationError, match="no convolution or dense layer"):
        quantize(trained, X, excluded=quantizable_layers(trained))
    with monkeypatch.context() as patched:
        patched.setattr(gluon.Parameter, "list_ctx", lambda parameter: [mx.gpu(1)])
        with pytest.raises(QuantizationError, match=r"weight is on gpu\(1\), and int8 is computed"):
            quantize(trained, X)
    monkeypatch.setattr(int8, "find_spec", lambda name: None)
    with pytest.raises(QuantizationError, match="needs SciPy: run `pip install"):
        quantize(trained, X, calibration="entropy")
    features = SimpleNamespace(is_enabled=lambda name: name != "MKLDNN")
    monkeypatch.setattr(mx.runtime, "Features", lambda: features)
    with pytest.raises(
        QuantizationError,
        match=r"built without oneDNN.*: run `pip uninstall -y mxnet mxnet-cu112` and then",
    ):
        quantize(trained, X)
