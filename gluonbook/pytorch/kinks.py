"""How far a net's activations are from the points at which its gradient jumps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .graph import describe, trace


def clearest_batch(net: nn.Module, batches: list[np.ndarray]) -> tuple[int, float]:
    """The batch whose activations stay farthest from kinks, and how far that is.

    `net` is a net in float64, in training mode; its running statistics stay as they were.
    """
    probe = _KinkDistance(trace(net.train()))
    state = {name: value.clone() for name, value in net.state_dict().items()}
    distances = [probe.of(torch.from_numpy(X).double()) for X in batches]
    net.load_state_dict(state)
    chosen = int(np.argmax(distances))
    return chosen, distances[chosen]


class _KinkDistance(torch.fx.Interpreter):
    """Runs a net and keeps the smallest distance from a kink, relative to the layer's scale.

    ReLU has its kink at 0, max pooling where the two greatest inputs of a window are equal.
    Exact zeros and exact ties do not count: both editions treat them alike.
    """

    def of(self, X: Tensor) -> float:
        self.smallest = math.inf
        with torch.no_grad():
            self.run(X)
        return self.smallest

    def run_node(self, n: torch.fx.Node) -> Any:
        if n.op in ("call_module", "call_function", "call_method"):
            module = self.fetch_attr(str(n.target)) if n.op == "call_module" else None
            kind, settings = describe(n, module)
            if kind in ("relu", "max pool"):
                x = self.env[n.all_input_nodes[0]]
                self._note(x.abs() if kind == "relu" else _gaps(x, settings), x)
        return super().run_node(n)

    def _note(self, distances: Tensor, activations: Tensor) -> None:
        distances = distances[distances > 0]
        if len(distances):
            scale = activations.pow(2).mean().sqrt()
            self.smallest = min(self.smallest, float(distances.min() / scale))


def _gaps(x: Tensor, settings: dict[str, Any]) -> Tensor:
    """Greatest minus second greatest input of each window, where the greatest is above 0."""
    down, across = settings["padding"]
    x = F.pad(x, (across, across, down, down), value=-math.inf)
    windows = F.unfold(x.flatten(0, 1).unsqueeze(1), settings["kernel"], stride=settings["stride"])
    two = windows.topk(2, dim=1).values
    return (two[:, 0] - two[:, 1])[two[:, 0] > 0]
