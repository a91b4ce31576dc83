"""Parameters as MXNet writes them, read without its native code; whole files or none."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import warnings

import gluonbook as gb
from gluonbook.export import (
    ParametersError,
    export_symbol,
    import_symbol,
    load_parameters,
    read_parameters,
    save_parameters,
    write_arrays,
)
from gluonbook.operations import trace
from gluonbook.system import files
from hypothesis import given, settings
from hypothesis import strategies as st
import mxnet as mx
from mxnet import nd
from mxnet.gluon import nn
import numpy as np
import pytest

from ..conftest import initialized

LIMIT = 10**7


@pytest.fixture(scope="module")
def lenet_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("params") / "lenet.params"
    initialized(gb.lenet(), 28).save_parameters(str(path))
    return path


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "uint8", "int32", "int8", "int64"]
)
def test_reads_what_mxnet_writes(dtype, tmp_path):
    arrays = {
        "a": nd.array(np.arange(24).reshape(2, 3, 4), dtype=dtype),
        "größe": nd.array([7], dtype=dtype),
    }
    nd.save(str(tmp_path / "x.params"), arrays)
    found = read_parameters(tmp_path / "x.params", LIMIT)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == dtype
        np.testing.assert_array_equal(found[name], array.asnumpy())


def test_a_net_that_is_not_initialized_is_loaded_where_it_is_asked_for(lenet_file):
    net = gb.lenet()
    load_parameters(net, lenet_file, mx.cpu(1))
    assert {param.list_ctx()[0] for param in net.collect_params().values()} == {mx.cpu(1)}
    net(nd.ones((1, 1, 28, 28), ctx=mx.cpu(1))).wait_to_read()


def test_a_net_is_loaded(lenet_file, tmp_path):
    x = nd.random.uniform(shape=(2, 1, 28, 28))
    expected = gb.lenet()
    expected.load_parameters(str(lenet_file))
    without_sizes = gb.lenet()
    without_sizes.initialize()
    for net in (gb.lenet(), without_sizes, initialized(gb.lenet(), 28)):
        load_parameters(net, lenet_file)
        np.testing.assert_array_equal(net(x).asnumpy(), expected(x).asnumpy())
    save_parameters(expected, tmp_path / "again.params")
    assert (tmp_path / "again.params").read_bytes() == lenet_file.read_bytes()


@pytest.mark.parametrize(
    ("net", "told"),
    [
        (lambda: gb.nin(), "is of another net: only the net has|only the file has"),
        (
            lambda: gb.lenet(edition="pytorch"),
            r"is of another net: \d.weight is \(.*\) in the file and \(.*\) in the net",
        ),
    ],
)
def test_another_net_is_refused(net, told, lenet_file):
    other = initialized(net(), 28 if "weight" in told else 224)
    before = [param.data().asnumpy() for param in other.collect_params().values()]
    with pytest.raises(ParametersError, match=told):
        load_parameters(other, lenet_file)
    for old, param in zip(before, other.collect_params().values()):
        np.testing.assert_array_equal(old, param.data().asnumpy())


def test_a_far_larger_file_is_of_another_net(lenet_file, tmp_path):
    with open(tmp_path / "huge.params", "wb") as file:
        file.truncate(2**34)
    with pytest.raises(ParametersError, match="is too large: .* it is of another net"):
        load_parameters(initialized(gb.lenet(), 28), tmp_path / "huge.params")


def test_a_missing_file(tmp_path):
    with pytest.raises(files.FileFailure, match="none.params is missing"):
        load_parameters(initialized(gb.lenet(), 28), tmp_path / "none.params")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_file_cut_or_changed_anywhere_is_whole_or_refused(lenet_file, tmp_path_factory, data):
    content = lenet_file.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    number = data.draw(st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]))
    path = tmp_path_factory.getbasetemp() / "changed.params"
    path.write_bytes(content[:place])
    with pytest.raises(ParametersError, match="is not a whole file of parameters"):
        read_parameters(path, LIMIT)
    path.write_bytes(content[:place] + struct.pack("<Q", number) + content[place + 8 :])
    try:
        found = read_parameters(path, LIMIT)
    except ParametersError as error:
        assert "\n" not in str(error)
    else:
        assert sum(array.nbytes for array in found.values()) < len(content)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is truncated"),
        (struct.pack("<QQQ", 0x113, 0, 0), "it does not begin like one"),
        (struct.pack("<QQQIiI", 0x112, 0, 1, 0xF993FAC9, 1, 0), "something other than dense"),
        (struct.pack("<QQQIiI", 0x112, 0, 1, 0xF993FAC9, 0, 2**31), "something other than dense"),
        (
            struct.pack("<QQQIiIqiii", 0x112, 0, 1, 0xF993FAC9, 0, 1, 2**60, 1, 0, 0),
            "it is truncated",
        ),
        (struct.pack("<QQQQ", 0x112, 0, 0, 1), "the numbers of names and arrays differ"),
        (struct.pack("<QQQQ", 0x112, 0, 0, 0) + b"more", "continues after its end"),
    ],
)
def test_hostile_files(content, told, tmp_path):
    (tmp_path / "x.params").write_bytes(content)
    with pytest.raises(ParametersError, match=told):
        read_parameters(tmp_path / "x.params", LIMIT)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_the_bytes_are_those_that_mxnet_writes(dtype, tmp_path):
    net = initialized(gb.lenet(), 28)
    net.cast(dtype)
    save_parameters(net, tmp_path / "ours.params")
    net.save_parameters(str(tmp_path / "mxnet.params"))
    assert (tmp_path / "ours.params").read_bytes() == (tmp_path / "mxnet.params").read_bytes()


def test_an_export_holds_what_mxnets_own_holds(tmp_path):
    net = initialized(gb.resnet(), 32)
    net.hybridize()
    net(nd.zeros((1, 1, 32, 32)))
    net.export(str(tmp_path / "mxnet"))
    export_symbol(net, tmp_path / "ours", (1, 1, 32, 32))

    def graph(side):
        """Operators, settings and inputs; sums are numbered anew each time a net is called."""
        nodes = json.loads((tmp_path / f"{side}-symbol.json").read_text())["nodes"]
        return [
            (node["op"], re.sub(r"_plus\d+", "_plus", node["name"]), node.get("attrs"))
            + tuple(tuple(place[:2]) for place in node["inputs"])
            for node in nodes
        ]

    assert graph("ours") == graph("mxnet")
    ours, theirs = (nd.load(str(tmp_path / f"{side}-0000.params")) for side in ("ours", "mxnet"))
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name].asnumpy(), theirs[name].asnumpy())


def test_an_export_is_the_same_however_often_the_net_was_traced(tmp_path):
    """A process that has trained the net has traced it more often than one that resumes the run."""
    net = initialized(gb.resnet(), 32)
    for name in ("before", "after"):
        export_symbol(net, tmp_path / name, (1, 1, 32, 32))
        for _ in range(3):
            trace(net)
    assert (tmp_path / "before-symbol.json").read_bytes() == (
        tmp_path / "after-symbol.json"
    ).read_bytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_parameters_that_are_not_finite_are_refused(bad, lenet_file, tmp_path):
    arrays = read_parameters(lenet_file, LIMIT)
    arrays["4.weight"] = arrays["4.weight"].copy()
    arrays["4.weight"].flat[7] = bad
    write_arrays(tmp_path / "x.params", arrays)
    with pytest.raises(ParametersError, match="4.weight has a value that is not a finite number"):
        load_parameters(gb.lenet(), tmp_path / "x.params")


class Masked(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.mask = self.params.get_constant("mask", nd.array([[0, -np.inf]]))

    def hybrid_forward(self, F, x, mask):
        return F.broadcast_add(x, mask)


def test_a_constant_may_be_infinite(tmp_path):
    net, other = Masked(), Masked()
    net.initialize()
    other.initialize()
    save_parameters(net, tmp_path / "x.params")
    load_parameters(other, tmp_path / "x.params")
    export_symbol(net, tmp_path / "x", (1, 2))
    for loaded in (other, import_symbol(tmp_path / "x")):
        assert loaded(nd.array([[3, 4]])).asnumpy().tolist() == [[3, -np.inf]]


def test_a_type_that_such_a_file_does_not_hold_is_named(tmp_path):
    with pytest.raises(ParametersError, match="weight is of type bool, which a file of parameters"):
        write_arrays(tmp_path / "x.params", {"weight": np.zeros(2, bool)})


def test_a_full_disk_of_which_mxnet_leaves_half_a_file(tmp_path):
    """What MXNet writes itself is then cut short; ours stands as it was."""
    code = f"""
import resource
import gluonbook as gb, mxnet as mx
from gluonbook.export import export_symbol, save_parameters
from gluonbook.system.files import FileFailure
net = gb.lenet()
net.initialize()
net(mx.nd.ones((1, 1, 28, 28)))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    net.save_parameters({str(tmp_path / "mxnet.params")!r})
except mx.base.MXNetError:
    pass
for write in (
    lambda: save_parameters(net, {str(tmp_path / "x.params")!r}),
    lambda: export_symbol(net, {str(tmp_path / "x")!r}, (1, 1, 28, 28)),
):
    try:
        write()
    except FileFailure as error:
        print(error)
"""
    for name in ("x.params", "x-0000.params", "x-symbol.json"):
        (tmp_path / name).write_text("old")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lines = result.stdout.splitlines()
    assert len(lines) == 2 and all("make room on that disk" in line for line in lines), result
    assert (tmp_path / "mxnet.params").stat().st_size < 178_000
    for name in ("x.params", "x-0000.params", "x-symbol.json"):
        assert (tmp_path / name).read_text() == "old"
    assert not list(tmp_path.glob(".partial*"))


def test_an_export_into_a_folder_that_is_gone(tmp_path):
    net = initialized(gb.lenet(), 28)
    with pytest.raises(files.FileFailure, match="the folder .*none is gone"):
        export_symbol(net, tmp_path / "none" / "x", (1, 1, 28, 28))


def by_mxnet(prefix):
    return mx.gluon.SymbolBlock.imports(f"{prefix}-symbol.json", ["data"], f"{prefix}-0000.params")


@pytest.mark.parametrize("read", [by_mxnet, import_symbol])
def test_an_export_is_read_back(read, tmp_path):
    net = initialized(gb.resnet(), 32)
    export_symbol(net, tmp_path / "x", (1, 1, 32, 32))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x-0000.params", "x-symbol.json"]
    with warnings.catch_warnings():
        if read is import_symbol:  # MXNet's own says "Cannot decide type", which is let pass
            warnings.simplefilter("error", UserWarning)
        block = read(tmp_path / "x")
    x = nd.random.uniform(shape=(2, 1, 32, 32))
    np.testing.assert_allclose(block(x).asnumpy(), net(x).asnumpy(), rtol=1e-5, atol=1e-6)


def test_an_export_that_is_damaged_or_of_two_nets(lenet_file, tmp_path):
    for build, name in ((gb.lenet, "lenet"), (gb.nin, "nin")):
        size = {"lenet": 28, "nin": 224}[name]
        export_symbol(initialized(build(), size), tmp_path / name, (1, 1, size, size))
    (tmp_path / "nin-0000.params").replace(tmp_path / "lenet-0000.params")
    with pytest.raises(ParametersError, match="lenet-0000.params is of another net"):
        import_symbol(tmp_path / "lenet")
    with pytest.raises(files.FileFailure, match="nin-0000.params is missing"):
        import_symbol(tmp_path / "nin")
    symbol = tmp_path / "lenet-symbol.json"
    for damaged in (symbol.read_bytes()[:-500], b"", b"\xff", b"[]", b'{"nodes": 3}'):
        symbol.write_bytes(damaged)
        with pytest.raises(ParametersError, match="lenet-symbol.json is damaged"):
            import_symbol(tmp_path / "lenet")
