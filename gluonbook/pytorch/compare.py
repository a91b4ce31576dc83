"""A section's Gluon net and PyTorch net side by side: the numbers of one step, and training."""

from __future__ import annotations

import copy
from typing import Iterable, NamedTuple

import mxnet as mx
from mxnet import autograd, gluon, nd
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..recipes import RECIPES, Recipe
from . import nets
from .kinks import clearest_batch
from .training import init_weights
from .transfer import TransferError, pairs, to_gluon, to_torch

#: Greatest relative difference allowed, by quantity.
TOLERANCES = {
    "outputs": 1e-5,
    "loss": 1e-5,
    "gradients": 1e-4,
    "running mean": 1e-4,
    "running var": 1e-4,
    "training loss": 1e-3,
}

CONVENTIONS = {
    "shared": (
        "a smaller last batch is averaged over its own size, and the running variance is the "
        "biased one, on both sides"
    ),
    "own": (
        "Gluon divides a smaller last batch by the nominal batch size and keeps the biased "
        "running variance; PyTorch averages over the batch and keeps the unbiased variance"
    ),
}
START_FROM = {
    "gluon": "Gluon's initial weights (Xavier's uniform, biases 0) in both nets",
    "pytorch": "PyTorch's initial weights (Xavier's uniform, biases as PyTorch draws them) in both",
}


class Nets(NamedTuple):
    """Both nets of a section, with the same weights if they can be carried over."""

    recipe: Recipe
    gluon: gluon.nn.HybridSequential
    torch: nn.Sequential
    mismatch: str | None
    """Why the weights cannot be carried over, or None."""


def torch_net(section: str) -> nn.Sequential:
    """The section's net as the PyTorch edition prints it."""
    return getattr(nets, section)()


def build(section: str, edition: str, seed: int, start_from: str = "gluon") -> Nets:
    """The Gluon net in `edition` and the PyTorch edition's net, with the same weights."""
    recipe = RECIPES[section]
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


def _switch_off_dropout(both: Nets) -> None:
    """Without dropout, since the random masks of the two sides have nothing in common."""

    def switch_off(block: gluon.Block) -> None:
        if isinstance(block, gluon.nn.Dropout):
            block._rate = 0.0

    both.gluon.apply(switch_off)
    for module in both.torch.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


# --- numbers --------------------------------------------------------------------------------


class Difference(NamedTuple):
    """How far the nets are apart in one quantity, at the place where they are farthest."""

    quantity: str
    where: str
    absolute: float
    relative: float
    """Divided by the greatest absolute value of the quantity (of the layer, for gradients)."""
    gluon_error: float
    """Relative difference of Gluon's float32 to PyTorch's float64."""
    torch_error: float
    """Relative difference of PyTorch's float32 to PyTorch's float64."""

    @property
    def within(self) -> bool:
        return self.relative <= TOLERANCES[self.quantity]


class Numbers(NamedTuple):
    """One training step of both nets from the same weights on the same images."""

    differences: list[Difference]
    kink_distance: float
    """Smallest distance of an activation from a kink, in units of its layer's scale."""
    candidates: int


def numbers(both: Nets, candidates: Iterable[tuple[np.ndarray, np.ndarray]]) -> Numbers:
    """Differences of outputs, loss, gradients and running statistics in one training step.

    Dropout is off and the running variance is the biased one on both sides.

    A gradient jumps where a ReLU's input passes zero or two inputs of a max pooling are equal,
    and there rounding decides which side is taken. So of the candidate batches the one is taken
    whose activations, in float64, are farthest from such kinks.
    """
    _switch_off_dropout(both)
    ours, theirs = both.gluon, _biased(copy.deepcopy(both.torch))
    exact = copy.deepcopy(theirs).double()
    batches = list(candidates)
    chosen, distance = clearest_batch(exact, [X for X, _ in batches])
    X, y = batches[chosen]

    saved = {name: p.data().copy() for name, p in ours.collect_params().items()}
    g = _gluon_step(ours, X, y)
    t = _torch_step(theirs, X, y)
    e = _torch_step(exact, X, y)
    arrays = [
        ("outputs", "", g.outputs, t.outputs, e.outputs),
        ("loss", "", g.loss, t.loss, e.loss),
    ]
    rows = [_difference(*row, np.abs(row[-1]).max()) for row in arrays]
    for pair, exact_pair in zip(pairs(theirs, ours), pairs(exact, ours)):
        where = f"{pair.torch_name} · {pair.gluon_name}"
        if pair.role.startswith("running"):
            values = (
                pair.parameter.data().asnumpy(),
                pair.tensor.numpy(),
                exact_pair.tensor.numpy(),
            )
            rows.append(_difference(pair.role, where, *values, np.abs(values[-1]).max()))
        else:
            assert pair.tensor.grad is not None and exact_pair.tensor.grad is not None
            values = (
                pair.parameter.grad().asnumpy(),
                pair.tensor.grad.numpy(),
                exact_pair.tensor.grad.numpy(),
            )
            scale = _layer_scale(exact_pair.torch_name, exact)
            rows.append(_difference("gradients", f"{where} {pair.role}", *values, scale))
    for name, parameter in ours.collect_params().items():
        parameter.set_data(saved[name])
    worst: dict[str, Difference] = {}
    for row in rows:
        if row.quantity not in worst or not row.relative <= worst[row.quantity].relative:
            worst[row.quantity] = row
    return Numbers(list(worst.values()), distance, len(batches))


class _Step(NamedTuple):
    outputs: np.ndarray
    loss: np.ndarray


def _gluon_step(net: gluon.Block, X: np.ndarray, y: np.ndarray) -> _Step:
    with autograd.record():
        outputs = net(nd.array(X))
        loss = gluon.loss.SoftmaxCrossEntropyLoss()(outputs, nd.array(y)).mean()
    loss.backward()
    return _Step(outputs.asnumpy(), loss.asnumpy())


def _torch_step(net: nn.Module, X: np.ndarray, y: np.ndarray) -> _Step:
    net.train()
    outputs = net(torch.from_numpy(X).to(next(net.parameters()).dtype))
    loss = F.cross_entropy(outputs, torch.from_numpy(y.astype(np.int64)))
    loss.backward()
    return _Step(outputs.detach().numpy(), loss.detach().numpy().reshape(1))


def _difference(
    quantity: str, where: str, ours: np.ndarray, theirs: np.ndarray, exact: np.ndarray, scale: float
) -> Difference:
    absolute = float(np.abs(ours.astype(np.float64) - theirs).max())
    scale = float(scale) or 1.0
    return Difference(
        quantity,
        where,
        absolute,
        absolute / scale,
        float(np.abs(ours - exact).max()) / scale,
        float(np.abs(theirs - exact).max()) / scale,
    )


def _layer_scale(name: str, net: nn.Module) -> float:
    """Greatest gradient of a layer's weight and bias together.

    A bias before batch normalisation has gradient 0, but for rounding; on its own it would give
    0/0.
    """
    layer = net.get_submodule(name)
    return max(float(p.grad.abs().max()) for p in layer.parameters() if p.grad is not None)


class _BiasedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose running variance is the biased one, as MXNet keeps it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            share = self.momentum or 0.0
            self.running_mean.lerp_(x.mean((0, 2, 3)), share)
            self.running_var.lerp_(x.var((0, 2, 3), unbiased=False), share)
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


def _biased(net: nn.Module) -> nn.Module:
    for module in net.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = _BiasedBatchNorm
    return net


# --- training -------------------------------------------------------------------------------


class Curves(NamedTuple):
    """Both nets trained over the same batches: loss and accuracy of each batch, in order."""

    gluon_loss: list[float]
    torch_loss: list[float]
    gluon_acc: list[float]
    torch_acc: list[float]

    def differences(self) -> list[float]:
        """Difference of the losses at each step, relative to PyTorch's."""
        return relative(self.gluon_loss, self.torch_loss)


def relative(values: list[float], reference: list[float]) -> list[float]:
    """Differences relative to the reference, as far as both lists go."""
    return [abs(a - b) / max(abs(b), 1e-12) for a, b in zip(values, reference)]


def parted_at(differences: list[float]) -> int | None:
    """The first step, from 1, at which a difference exceeds the tolerance of training."""
    for step, difference in enumerate(differences, 1):
        if not difference <= TOLERANCES["training loss"]:
            return step
    return None


def training(
    both: Nets,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    lr: float,
    batch_size: int,
    *,
    conventions: str = "shared",
    dtype: str = "float32",
) -> Curves:
    """Train both nets by SGD from the same weights over the same batches, without dropout.

    Parameters
    ----------
    batch_size
        The nominal one, which Gluon divides by under its own convention.
    conventions
        ``"shared"`` or ``"own"``; see `CONVENTIONS`.
    dtype
        ``"float32"``, or ``"float64"`` in which rounding does not hide or make a difference.
    """
    _switch_off_dropout(both)
    ours, theirs = both.gluon, both.torch.to(getattr(torch, dtype))
    ours.cast(dtype)
    ours.hybridize(static_alloc=True)
    if conventions == "shared":
        _biased(theirs)
    trainer = gluon.Trainer(ours.collect_params(), "sgd", {"learning_rate": lr})
    # MXNet's optimizer holds its rate in float32, in a float64 net too.
    optimizer = torch.optim.SGD(theirs.parameters(), lr=float(np.float32(lr)))
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    curves = Curves([], [], [], [])
    theirs.train()
    for X, y in batches:
        X = X.astype(dtype)
        with autograd.record():
            outputs = ours(nd.array(X, dtype=dtype))
            losses = loss(outputs, nd.array(y, dtype=dtype))
        losses.backward()
        trainer.step(len(y) if conventions == "shared" else batch_size)
        curves.gluon_loss.append(float(losses.mean().asscalar()))
        curves.gluon_acc.append(float((outputs.asnumpy().argmax(axis=1) == y).mean()))

        optimizer.zero_grad()
        scores = theirs(torch.from_numpy(X))
        value = F.cross_entropy(scores, torch.from_numpy(y.astype(np.int64)))
        value.backward()
        optimizer.step()
        curves.torch_loss.append(value.item())
        curves.torch_acc.append(float((scores.detach().numpy().argmax(axis=1) == y).mean()))
    return curves


def test_accuracies(
    both: Nets, batches: Iterable[tuple[np.ndarray, np.ndarray]]
) -> tuple[float, float]:
    """Share of the examples that the Gluon and the PyTorch net classify rightly."""
    right_ours = right_theirs = count = 0
    both.torch.eval()
    for X, y in batches:
        with torch.no_grad():
            scores = both.torch(torch.from_numpy(X)).numpy()
        right_theirs += int((scores.argmax(axis=1) == y).sum())
        right_ours += int((both.gluon(nd.array(X)).asnumpy().argmax(axis=1) == y).sum())
        count += len(y)
    return right_ours / count, right_theirs / count
