"""What is computed in a training step: net, loss and count, in one graph where that can be."""

from __future__ import annotations

from typing import Any, Callable, Tuple

import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import HybridBlock

#: From one batch, X and y (N,), the losses (N,) and the number of right answers (1,).
Step = Callable[[nd.NDArray, nd.NDArray], Tuple[nd.NDArray, nd.NDArray]]


def step_of(net: gluon.Block, loss: Callable[..., Any], *, static: bool = True) -> Step:
    """The forward pass of a training step.

    A hybridized net is put into one graph with its loss and the count of right answers, whose
    memory is planned once; `net` itself stays as it is. Anything else (a net that is not
    hybridized, has hooks, or can't be traced, a loss that is a plain function) is called
    operator by operator, with the same numbers.

    Parameters
    ----------
    static
        Plan the graph's memory for batches of one size; another size is planned anew.
    """
    if (
        isinstance(net, HybridBlock)
        and isinstance(loss, HybridBlock)
        and net._active
        and not (net._forward_hooks or net._forward_pre_hooks)
    ):
        graph = _Graph(net, loss)
        try:
            graph(mx.sym.var("data"), mx.sym.var("label"))
        except Exception:  # whatever this net does with an input that is not there yet
            return _plain(net, loss)
        graph.hybridize(static_alloc=static, static_shape=static)
        return graph
    return _plain(net, loss)


def num_correct(y_hat: nd.NDArray, y: nd.NDArray) -> nd.NDArray:
    """How many rows of `y_hat` (N, classes) have their greatest entry at `y` (N,)."""
    return (y_hat.argmax(axis=1) == y.astype(y_hat.dtype)).sum()


def _plain(net: gluon.Block, loss: Callable[..., Any]) -> Step:
    def step(X: nd.NDArray, y: nd.NDArray) -> tuple[nd.NDArray, nd.NDArray]:
        y_hat = net(X)
        return loss(y_hat, y), num_correct(y_hat.detach(), y)

    return step


class _Graph(HybridBlock):
    """A net and its loss; owns neither, so that hybridizing it leaves them as they are."""

    def __init__(self, net: HybridBlock, loss: HybridBlock) -> None:
        super().__init__()
        self._parts = (net, loss)

    def collect_params(self, select: str | None = None) -> gluon.ParameterDict:
        params = gluon.ParameterDict()
        for part in self._parts:
            params.update(part.collect_params(select))
        return params

    def hybrid_forward(self, F: Any, x: Any, y: Any) -> tuple[Any, Any]:
        net, loss = self._parts
        y_hat = net(x)
        answers = F.argmax(F.BlockGrad(y_hat), axis=1)
        right = F.broadcast_equal(F.cast(answers, "float32"), F.cast(y, "float32"))
        return loss(y_hat, y), F.sum(right)
