"""Weights across, both ways and through files, and what does not fit is named."""

from __future__ import annotations

import errno
import math
import os
import pickle
import zipfile

import gluonbook as gb
from gluonbook.pytorch import nets
from gluonbook.pytorch.transfer import (
    TransferError,
    load_weights,
    pairs,
    save_weights,
    to_gluon,
    to_torch,
)
from gluonbook.recipes import RECIPES
from gluonbook.system.files import FileFailure
import mxnet as mx
import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn


def randomized(net: nn.Module) -> nn.Module:
    """The net with running statistics that are not 0 and 1, as after training."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return net.eval()


def logits(torch_net, gluon_net, size):
    X = np.random.rand(2, 1, size, size).astype(np.float32)
    with torch.no_grad():
        theirs = torch_net(torch.from_numpy(X)).numpy()
    return theirs, gluon_net(mx.nd.array(X)).asnumpy()


@pytest.mark.parametrize("section", RECIPES)
@pytest.mark.parametrize("edition", ["gluon", "pytorch"])
def test_logits_agree_and_the_round_trip_is_exact(section, edition):
    recipe = RECIPES[section]
    build = getattr(nets, section)
    options = {"edition": edition} if recipe.editions_differ else {}
    theirs, ours = randomized(build(**options)), recipe.net(edition)
    to_gluon(theirs, ours)
    a, b = logits(theirs, ours, recipe.size)
    np.testing.assert_allclose(b, a, atol=1e-5 * max(1, np.abs(a).max()), rtol=0)

    back = build(**options)
    to_torch(ours, back)
    for (name, x), y in zip(theirs.state_dict().items(), back.state_dict().values()):
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(x, y), name


def test_weights_are_whole_while_an_inference_is_still_running():
    """oneDNN rearranges weights in the background after an inference."""
    for _ in range(5):
        ours, early, late = gb.resnet(), nets.resnet(), nets.resnet()
        ours.initialize(mx.init.Xavier())
        ours(mx.nd.zeros((1, 1, 96, 96)))
        to_torch(ours, early)
        mx.nd.waitall()
        to_torch(ours, late)
        for a, b in zip(early.state_dict().values(), late.state_dict().values()):
            assert torch.equal(a, b)


class OtherResidual(nn.Module):
    """A residual block as a reader may write it: other names, order and nesting."""

    def __init__(self, inputs, outputs, strides=1):
        super().__init__()
        self.shortcut = nn.Conv2d(inputs, outputs, 1, strides) if inputs != outputs else None
        self.norm_b, self.norm_a = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.first = nn.Conv2d(inputs, outputs, 3, strides, 1)

    def forward(self, x):
        y = torch.relu(self.norm_a(self.first(x)))
        y = self.norm_b(self.second(y))
        y += self.shortcut(x) if self.shortcut is not None else x
        return y.relu()


def test_a_net_that_is_not_of_our_classes():
    stages, inputs = [], 64
    for outputs in (64, 128, 256, 512):
        first = OtherResidual(inputs, outputs, 1 if outputs == 64 else 2)
        stages += [first, OtherResidual(outputs, outputs)]
        inputs = outputs
    theirs = randomized(
        nn.Sequential(
            nn.Conv2d(1, 64, 7, 2, 3),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
            nn.Sequential(*stages),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(512, 10),
        )
    )
    ours = gb.resnet()
    ours.hybridize()
    to_gluon(theirs, ours)
    a, b = logits(theirs, ours, 64)
    np.testing.assert_allclose(b, a, atol=1e-5 * np.abs(a).max(), rtol=0)


def test_a_mismatch_names_both_layers_and_both_shapes():
    theirs = nets.resnet()
    theirs[2][0].conv1 = nn.Conv2d(64, 100, 3, 2, 1)
    with pytest.raises(TransferError) as failure:
        to_gluon(theirs, gb.resnet())
    message = str(failure.value)
    assert "2.0.conv1" in message and "(100, 64, 3, 3)" in message
    assert "residual0_conv0" in message and "(128, 0, 3, 3)" in message


def test_nets_that_compute_otherwise_are_warned_of(caplog):
    to_gluon(nets.alexnet(), gb.alexnet(edition="gluon"))
    assert caplog.messages == [
        "the nets compute differently at 0: padding: PyTorch 1, Gluon 0",
    ]
    caplog.clear()
    to_gluon(nets.alexnet(), gb.alexnet(edition="pytorch"))
    assert caplog.messages == []


def test_a_missing_layer_is_named():
    theirs = nn.Sequential(*list(nets.lenet())[:-1])
    with pytest.raises(TransferError, match="5 layers with weights, the other 4.*dense"):
        to_gluon(theirs, gb.lenet(edition="pytorch"))


def test_a_net_without_weights_yet_is_refused_and_the_other_kept():
    theirs = nets.lenet()
    before = {name: value.clone() for name, value in theirs.state_dict().items()}
    with pytest.raises(
        TransferError, match=r"conv\d+ has no weight yet: initialize the net and run"
    ):
        to_torch(gb.lenet(edition="pytorch"), theirs)
    assert all(torch.equal(value, before[name]) for name, value in theirs.state_dict().items())


def test_every_weight_has_its_pair_once():
    matched = pairs(nets.googlenet(), gb.googlenet(edition="pytorch"))
    parameters = gb.googlenet().collect_params()
    assert len(matched) == len({id(pair.tensor) for pair in matched}) == len(parameters.keys())


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_files_hold_the_weights_exactly(name, tmp_path):
    theirs, other = randomized(nets.densenet()), nets.densenet()
    save_weights(theirs, tmp_path / name)
    load_weights(other, tmp_path / name)
    for a, b in zip(theirs.state_dict().values(), other.state_dict().values()):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_file_of_before_torch_0_4_1_has_no_counts_of_batches(name, tmp_path):
    theirs, other = randomized(nets.densenet()), nets.densenet()
    state = theirs.state_dict()
    counts = [key for key in state if key.endswith("num_batches_tracked")]
    for key in counts:
        del state[key]
        other.state_dict()[key].fill_(7)
    state._metadata.clear()
    if name.endswith(".pt"):
        torch.save(state, tmp_path / name)
        nets.densenet().load_state_dict(state)  # as PyTorch itself does
    else:
        safetensors.torch.save_file(state, tmp_path / name)
    load_weights(other, tmp_path / name)
    found = other.state_dict()
    assert counts and all(found[key] == 7 for key in counts)
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_the_weights_of_a_lazy_layer_wait_for_its_first_image(tmp_path):
    save_weights(nn.Conv2d(1, 4, 3), tmp_path / "w.pt")
    for call in (save_weights, load_weights):
        with pytest.raises(TransferError, match="the net's weight has no shape yet: run the net"):
            call(nn.LazyConv2d(4, 3), tmp_path / "w.pt")
    load_weights(nn.Conv2d(1, 4, 3), tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_flipped_bit_anywhere_is_refused_or_changes_no_weight(name, tmp_path):
    save_weights(net := nets.lenet(), path := tmp_path / name)
    content, refused = path.read_bytes(), 0
    for place in range(60, len(content), len(content) // 50):
        path.write_bytes(content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
        try:
            load_weights(other := nets.lenet(), path)
        except TransferError:
            refused += 1
        else:
            same = zip(net.state_dict().values(), other.state_dict().values())
            assert all(torch.equal(a, b) for a, b in same), place
    assert refused > 40


@pytest.mark.parametrize("mark", [b"gluonbook.sha256", b"written by"])
def test_a_damaged_mark_of_our_safetensors_hides_no_damaged_weight(mark, tmp_path):
    save_weights(nets.lenet(), path := tmp_path / "w.safetensors")
    content = path.read_bytes().replace(mark, mark[:-1] + b"x")
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(TransferError, match="its checksum does not match"):
        load_weights(nets.lenet(), path)


def test_safetensors_without_our_checksum_are_read(tmp_path):
    net = nets.lenet()
    safetensors.torch.save_file(net.state_dict(), tmp_path / "w.safetensors", {"format": "pt"})
    load_weights(other := nets.lenet(), tmp_path / "w.safetensors")
    assert torch.equal(net[0].weight, other[0].weight)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(bad, name, tmp_path):
    nn.init.constant_((net := nn.Linear(1, 1)).weight, bad)
    save_weights(net, tmp_path / name)
    with pytest.raises(TransferError, match="weight has a value that is not a finite number"):
        load_weights(nn.Linear(1, 1), tmp_path / name)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_mask_may_be_infinite_and_running_statistics_not(name, tmp_path):
    net, other = nn.Sequential(nn.BatchNorm2d(2)), nn.Sequential(nn.BatchNorm2d(2))
    for one, mask in ((net, torch.tensor([0, -math.inf])), (other, torch.zeros(2))):
        one.register_buffer("mask", mask)
        one.register_buffer("the_same_mask", mask)
    save_weights(net, tmp_path / name)
    load_weights(other, tmp_path / name)
    assert other.mask.tolist() == other.the_same_mask.tolist() == [0, -math.inf]
    net[0].running_var[0] = math.inf
    save_weights(net, tmp_path / name)
    with pytest.raises(TransferError, match="running_var has a value that is not a finite number"):
        load_weights(other, tmp_path / name)


class EveryDtype(nn.Module):
    """A net with a weight, and a buffer of each dtype that a plain net may have."""

    DTYPES = ["float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]

    def __init__(self, values=(0, 0)):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(values, dtype=torch.float32))
        for name in self.DTYPES:
            self.register_buffer(f"as_{name}", torch.tensor(values, dtype=getattr(torch, name)))


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_files_hold_buffers_of_every_dtype(name, tmp_path):
    save_weights(EveryDtype((1, 100)), tmp_path / name)
    load_weights(net := EveryDtype(), tmp_path / name)
    for name, value in net.state_dict().items():
        assert value.tolist() == ([True, True] if name == "as_bool" else [1, 100]), name


@pytest.mark.parametrize("attribute", ["_metadata", "values", "keys"])
@pytest.mark.parametrize("value", [5, [], {"": 7}, {"": {"version": "x"}}, None])
def test_a_file_of_strange_metadata_is_taken_wholly(attribute, value, tmp_path):
    state = nets.densenet().state_dict()
    setattr(state, attribute, value)
    torch.save(state, tmp_path / "w.pt")
    load_weights(net := nets.densenet(), tmp_path / "w.pt")
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, dict.__getitem__(state, name)), name


def test_tensors_that_share_storage_or_want_gradients_are_copied(tmp_path):
    shared = torch.arange(4.0, requires_grad=True)
    state = {"0": nn.Parameter(torch.ones(2, 2)), "1": shared.view(2, 2).t(), "2": shared[:1]}
    state["3"] = shared[1].expand(2, 2)
    torch.save(state, tmp_path / "w.pt")
    net = nn.ParameterList(torch.zeros_like(tensor) for tensor in state.values())
    load_weights(net, tmp_path / "w.pt")
    assert [value.tolist() for value in net.state_dict().values()] == [
        [[1, 1], [1, 1]],
        [[0, 2], [1, 3]],
        [0],
        [[1, 1], [1, 1]],
    ]


class Bomb:
    def __reduce__(self):
        return (open, ("executed", "w"))


@pytest.mark.parametrize(
    ("name", "write", "told"),
    [
        ("w.pt", lambda p: torch.save(nets.lenet(), p), "cannot be read as weights"),
        ("w.pt", lambda p: p.write_bytes(b"junk" * 100), "cannot be read as weights"),
        ("w.safetensors", lambda p: p.write_bytes(b"junk" * 100), "cannot be read as weights"),
        ("w.pt", lambda p: torch.save([1, 2], p), "holds no state_dict"),
        ("w.pt", lambda p: torch.save({"a": 1}, p), "holds no state_dict"),
        ("w.pt", lambda p: torch.save(nets.nin().state_dict(), p), "of another net"),
        (
            "w.pt",
            lambda p: torch.save(nets.lenet(7).state_dict(), p),
            r"11.\w+ is \(7.* in the file and \(10",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_named(name, write, told, tmp_path):
    write(tmp_path / name)
    net = nets.lenet()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(TransferError, match=told) as failure:
        load_weights(net, tmp_path / name)
    assert str(tmp_path / name) in str(failure.value) and "\n" not in str(failure.value)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize(("held", "given"), [("int64", "float32"), ("bool", "int64")])
def test_numbers_that_the_net_cannot_hold_leave_it_as_it_was(held, given, name, tmp_path):
    theirs = EveryDtype((1, 100))
    setattr(theirs, f"as_{held}", torch.ones(2, dtype=getattr(torch, given)))
    save_weights(theirs, tmp_path / name)
    told = f"as_{held} is torch.{given} in the file and torch.{held} in the net"
    with pytest.raises(TransferError, match=told):
        load_weights(net := EveryDtype(), tmp_path / name)
    assert not any(value.any() for value in net.state_dict().values())


@pytest.mark.filterwarnings("ignore:.*[Qq]uantiz", "ignore:Sparse")
@pytest.mark.parametrize(
    "change",
    [
        torch.Tensor.to_sparse,
        lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
        lambda tensor: tensor.to("meta"),
        lambda tensor: tensor.to(torch.complex64),
    ],
)
def test_a_tensor_of_another_kind_leaves_the_net_as_it_was(change, tmp_path):
    state = EveryDtype((1, 100)).state_dict()
    state["as_bool"] = change(torch.ones(2))
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(TransferError, match="it holds more than tensors"):
        load_weights(net := EveryDtype(), tmp_path / "w.pt")
    assert not any(value.any() for value in net.state_dict().values())


def test_nothing_in_a_file_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pt").write_bytes(pickle.dumps({"0.weight": Bomb()}))
    with pytest.raises(TransferError):
        load_weights(nets.lenet(), tmp_path / "w.pt")
    assert not (tmp_path / "executed").exists()


def test_a_file_of_torch_save_that_asks_for_more_than_tensors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"0.weight": Bomb()}, "w.pt")
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("handed to torch"))
    with pytest.raises(TransferError, match="it holds more than tensors: (io|_io|builtins) open"):
        load_weights(nets.lenet(), tmp_path / "w.pt")
    assert not (tmp_path / "executed").exists()


def test_a_small_file_that_would_fill_the_memory(tmp_path, monkeypatch):
    torch.save({"0.weight": torch.zeros(2**26)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(
        tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED
    ) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    assert (tmp_path / "w.pt").stat().st_size < 2**20
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("handed to torch"))
    with pytest.raises(TransferError, match="it is compressed or damaged"):
        load_weights(nets.lenet(), tmp_path / "w.pt")


def test_the_format_of_before_torch_1_6_is_refused(tmp_path):
    net = nets.lenet()
    torch.save(net.state_dict(), tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(TransferError, match="not a file of torch.save since PyTorch 1.6"):
        load_weights(net, tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_full_disk_leaves_the_old_file(name, tmp_path, monkeypatch):
    save_weights(nets.lenet(), tmp_path / name)
    before = (tmp_path / name).read_bytes()

    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(FileFailure, match="there is no room for it"):
        save_weights(nets.lenet(), tmp_path / name)
    assert (tmp_path / name).read_bytes() == before


def test_a_missing_file(tmp_path):
    with pytest.raises(FileFailure, match="is missing"):
        load_weights(nets.lenet(), tmp_path / "none.safetensors")
