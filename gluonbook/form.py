"""A section's net in a form that a benchmark measures: one training step, one inference."""

from __future__ import annotations

from typing import Any

import mxnet as mx
from mxnet import autograd, gluon, nd
import numpy as np

from .recipes import Recipe
from .step import inference_of, step_of

HYBRIDIZED = "Gluon, hybridized"
#: Operator by operator, the loss apart.
IMPERATIVE = "Gluon, imperative"


class GluonForm:
    """A Gluon net that trains by its recipe and infers, on NumPy batches.

    X is float32 (N, 1, H, W), y int32 (N,). Each call returns once all is computed.
    """

    def __init__(
        self,
        recipe: Recipe,
        edition: str = "gluon",
        *,
        lr: float | None = None,
        hybridize: bool = True,
    ) -> None:
        self.net: Any = recipe.net(edition)
        self.net.initialize(mx.init.create(recipe.initializer))
        if hybridize:
            self.net.hybridize(static_alloc=True, static_shape=True)
        self._step = step_of(self.net, gluon.loss.SoftmaxCrossEntropyLoss())
        self._trainer = gluon.Trainer(
            self.net.collect_params(), recipe.optimizer, {"learning_rate": lr or recipe.lr}
        )
        self._batch_size = recipe.batch_size
        self._infer: Any = None

    def train(self, X: np.ndarray, y: np.ndarray) -> nd.NDArray:
        """The losses (N,) before the step."""
        self._infer = None  # it has the weights of before
        with autograd.record():
            losses, _ = self._step(nd.from_numpy(X, zero_copy=False), nd.array(y))
        losses.backward()
        self._trainer.step(self._batch_size)
        nd.waitall()
        return losses

    def infer(self, X: np.ndarray, y: np.ndarray) -> None:
        if self._infer is None:
            self._infer = inference_of(self.net, [mx.cpu()])
        self._infer(nd.from_numpy(X, zero_copy=False)).wait_to_read()
