"""A section's Gluon net and PyTorch net side by side: the numbers of one training step."""

from __future__ import annotations

import copy
from typing import NamedTuple, Sequence

import mxnet as mx
from mxnet import autograd, gluon, nd
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..pytorch import nets, torchvision
from ..pytorch.training import init_weights
from ..pytorch.transfer import Pair, TransferError, pairs, to_gluon, to_torch
from ..recipes import RECIPES, Recipe, recipe_of
from ..system import mxnet_private

#: Greatest relative difference allowed in float64, of every quantity.
FLOAT64_TOLERANCE = 1e-8
#: Greatest relative error allowed of Gluon's float32, in all quantities but the gradients. With
#: batch normalisation over two images, rounding alone has reached 2e-4.
FLOAT32_TOLERANCE = 1e-2

START_FROM = {
    "gluon": "Gluon's initial weights (Xavier's uniform, biases 0) in both nets",
    "pytorch": "PyTorch's initial weights (Xavier's uniform, biases as PyTorch draws them) in both",
}


class Nets(NamedTuple):
    """Both nets of a section or model, with the same weights if they can be carried over."""

    recipe: Recipe
    gluon: gluon.nn.HybridSequential
    torch: nn.Module
    mismatch: str | None
    """Why the weights cannot be carried over, or None."""


def torch_net(name: str) -> nn.Module:
    """A section's net as the PyTorch edition prints it, or torchvision's net of that name."""
    if name in RECIPES:
        return getattr(nets, name)()
    return torchvision.net(name, num_classes=10, num_channels=1)


def build(section: str, edition: str, seed: int, start_from: str = "gluon") -> Nets:
    """The Gluon net in `edition` and the PyTorch side's net, with the same weights."""
    recipe = recipe_of(section)
    mx.random.seed(seed)
    torch.manual_seed(seed)
    ours, theirs = recipe.net(edition), torch_net(section)
    ours.initialize(mx.init.create(recipe.initializer))
    theirs.apply(init_weights)
    ours(nd.zeros((1, 1, recipe.size, recipe.size)))
    try:
        if start_from == "gluon":
            to_torch(ours, theirs)
        else:
            to_gluon(theirs, ours)
    except TransferError as error:
        return Nets(recipe, ours, theirs, str(error))
    return Nets(recipe, ours, theirs, None)


def switch_off_dropout(both: Nets) -> None:
    """Without dropout, since the random masks of the two sides have nothing in common."""
    both.gluon.apply(mxnet_private.switch_off_dropout)
    for module in both.torch.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


class Difference(NamedTuple):
    """How far the nets are apart in one quantity, at the place where they are farthest."""

    quantity: str
    where: str
    absolute: float
    """Between Gluon and PyTorch, both in float64."""
    relative: float
    """Divided by the greatest absolute value of the quantity (of the layer, for gradients)."""
    gluon_error: float
    """Greatest relative difference of Gluon's float32 to PyTorch's float64, in any layer."""
    torch_error: float
    """Greatest relative difference of PyTorch's float32 to PyTorch's float64, in any layer."""

    @property
    def within(self) -> bool:
        return self.relative <= FLOAT64_TOLERANCE

    @property
    def within_in_float32(self) -> bool:
        """Whether Gluon's float32 is near enough.

        Gradients are not judged: they jump where a ReLU's input passes zero or two inputs of a
        max pooling are equal, and among a million activations some are so near to it that
        rounding decides which side is taken.
        """
        return self.quantity == "gradients" or self.gluon_error <= FLOAT32_TOLERANCE


def numbers(both: Nets, X: np.ndarray, y: np.ndarray) -> list[Difference]:
    """Differences of outputs, loss, gradients and running statistics in one training step.

    Both nets compute the step in float64 and once more in float32, from the same weights, without
    dropout, and with the biased running variance. Their weights and running statistics stay as
    they were.
    """
    switch_off_dropout(both)
    matched = pairs(both.torch, both.gluon)
    steps = [
        _gluon_step(both.gluon, matched, X, y, "float64"),
        _torch_step(both, X, y, "float64"),
        _gluon_step(both.gluon, matched, X, y, "float32"),
        _torch_step(both, X, y, "float32"),
    ]
    exact = steps[1]
    rows = [
        _difference("outputs", "", [step.outputs for step in steps], np.abs(exact.outputs).max()),
        _difference("loss", "", [step.loss for step in steps], np.abs(exact.loss).max()),
    ]
    # A bias before batch normalisation has gradient 0, but for rounding; on its own it would give
    # 0/0. So gradients are measured by the greatest of the layer's weight and bias together.
    scales: dict[str, float] = {}
    for pair, value in zip(matched, exact.arrays):
        if not _is_statistic(pair):
            scales[pair.torch_name] = max(
                scales.get(pair.torch_name, 0.0), float(np.abs(value).max())
            )
    for pair, *values in zip(matched, *(step.arrays for step in steps)):
        where = f"{pair.torch_name} · {pair.gluon_name}"
        if _is_statistic(pair):
            rows.append(_difference(pair.role, where, values, np.abs(values[1]).max()))
        else:
            scale = scales[pair.torch_name]
            rows.append(_difference("gradients", f"{where} {pair.role}", values, scale))
    quantities = dict.fromkeys(row.quantity for row in rows)
    return [_farthest([row for row in rows if row.quantity == name]) for name in quantities]


class _Step(NamedTuple):
    outputs: np.ndarray
    loss: np.ndarray
    arrays: list[np.ndarray]
    """Of each of the nets' `pairs`, its gradient, or the running statistic after the step."""


def _is_statistic(pair: Pair) -> bool:
    return pair.role.startswith("running")


def _gluon_step(
    net: gluon.Block, matched: list[Pair], X: np.ndarray, y: np.ndarray, dtype: str
) -> _Step:
    nd.waitall()  # an inference may still be rearranging the weights, as `to_torch` explains
    parameters = net.collect_params().values()
    untrained = [(p, p.data().copy()) for p in parameters if p.grad_req == "null"]
    net.cast(dtype)
    try:
        with autograd.record():
            outputs = net(nd.array(X, dtype=dtype))
            losses = gluon.loss.SoftmaxCrossEntropyLoss()(outputs, nd.array(y, dtype=dtype))
            loss = losses.mean()
        loss.backward()
        arrays = [
            (pair.parameter.data() if _is_statistic(pair) else pair.parameter.grad()).asnumpy()
            for pair in matched
        ]
        return _Step(outputs.asnumpy(), loss.asnumpy(), arrays)
    finally:
        net.cast(np.float32)  # the same weights again: float64 holds every float32 exactly
        for parameter, value in untrained:
            parameter.set_data(value)


def _torch_step(both: Nets, X: np.ndarray, y: np.ndarray, dtype: str) -> _Step:
    net = biased(copy.deepcopy(both.torch).to(getattr(torch, dtype))).train()
    outputs = net(torch.from_numpy(X.astype(dtype)))
    loss = F.cross_entropy(outputs, torch.from_numpy(y.astype(np.int64)))
    loss.backward()
    arrays = []
    for pair in pairs(net, both.gluon):
        value = pair.tensor if _is_statistic(pair) else pair.tensor.grad
        assert value is not None
        arrays.append(value.numpy())
    return _Step(outputs.detach().numpy(), loss.detach().numpy().reshape(1), arrays)


def _difference(
    quantity: str, where: str, values: Sequence[np.ndarray], scale: float
) -> Difference:
    """From Gluon's and PyTorch's values in float64, then in float32."""
    ours, theirs, ours32, theirs32 = values
    scale = float(scale) or 1.0
    absolute = float(np.abs(ours - theirs).max())
    gluon_error, torch_error = (float(np.abs(v - theirs).max()) for v in (ours32, theirs32))
    return Difference(
        quantity, where, absolute, absolute / scale, gluon_error / scale, torch_error / scale
    )


def _farthest(rows: list[Difference]) -> Difference:
    """The row of the greatest difference; NaN counts as the greatest."""
    return rows[int(np.argmax([row.relative for row in rows]))]._replace(
        gluon_error=float(np.max([row.gluon_error for row in rows])),
        torch_error=float(np.max([row.torch_error for row in rows])),
    )


class _BiasedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose running variance is the biased one, as MXNet keeps it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            # MXNet holds the old values' share in float32, in a float64 net too.
            share = 1 - float(np.float32(1 - (self.momentum or 0.0)))
            self.running_mean.lerp_(x.mean((0, 2, 3)), share)
            self.running_var.lerp_(x.var((0, 2, 3), unbiased=False), share)
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


def biased(net: nn.Module) -> nn.Module:
    """`net` itself, its running variances from now on the biased ones."""
    for module in net.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = _BiasedBatchNorm
    return net
