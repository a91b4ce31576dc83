"""A section's Gluon net and PyTorch net trained side by side over the same batches."""

from __future__ import annotations

from typing import Iterable, NamedTuple

from mxnet import autograd, gluon, nd
import numpy as np
import torch
from torch.nn import functional as F

from ..training.graphs import step_of
from .numbers import Nets, biased, switch_off_dropout

#: Greatest relative difference of the losses that is allowed in float64. In float32 none is: there
#: rounding flips ReLUs, and PyTorch's own losses part from those of its float64 as far.
TOLERANCE = 1e-3

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
    apart = (step for step, value in enumerate(differences, 1) if not value <= TOLERANCE)
    return next(apart, None)


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
    switch_off_dropout(both)
    ours, theirs = both.gluon, both.torch.to(getattr(torch, dtype))
    ours.cast(dtype)
    ours.hybridize(static_alloc=True)
    if conventions == "shared":
        biased(theirs)
    trainer = gluon.Trainer(ours.collect_params(), "sgd", {"learning_rate": lr})
    # MXNet's optimizer holds its rate in float32, in a float64 net too.
    optimizer = torch.optim.SGD(theirs.parameters(), lr=float(np.float32(lr)))
    step = step_of(ours, gluon.loss.SoftmaxCrossEntropyLoss())
    curves = Curves([], [], [], [])
    theirs.train()
    for X, y in batches:
        X = X.astype(dtype)
        with autograd.record():
            outcome = step(nd.array(X, dtype=dtype), nd.array(y, dtype=dtype))
        outcome.losses.backward()
        trainer.step(len(y) if conventions == "shared" else batch_size)
        curves.gluon_loss.append(float(outcome.losses.mean().asscalar()))
        curves.gluon_acc.append(outcome.read().correct / len(y))

        optimizer.zero_grad()
        scores = theirs(torch.from_numpy(X))
        value = F.cross_entropy(scores, torch.from_numpy(y.astype(np.int64)))
        value.backward()
        optimizer.step()
        curves.torch_loss.append(value.item())
        curves.torch_acc.append(float((scores.detach().numpy().argmax(axis=1) == y).mean()))
    return curves


def predictions(both: Nets, X: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """The classes that the Gluon and the PyTorch net give to images X (N, C, H, W)."""
    ours = both.gluon(nd.array(X, dtype=dtype)).asnumpy()
    with torch.no_grad():
        theirs = both.torch.eval()(torch.from_numpy(X.astype(dtype))).numpy()
    return ours.argmax(axis=1), theirs.argmax(axis=1)
