"""What is computed with one batch, in training and in inference, in one graph where that can be."""

from __future__ import annotations

import json
import logging
from typing import Any, Callable, Sequence, Tuple
import warnings

import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import HybridBlock
import numpy as np

log = logging.getLogger("gluonbook")

#: From one batch, X and y (N,), the losses (N,) and the number of right answers (1,).
Step = Callable[[nd.NDArray, nd.NDArray], Tuple[nd.NDArray, nd.NDArray]]


def step_of(net: gluon.Block, loss: Callable[..., Any], *, static: bool = True) -> Step:
    """The forward pass of a training step.

    A hybridized net is put into one graph with its loss and the count of right answers, whose
    memory is planned once; `net` itself stays as it is. Anything else (a net that is not
    hybridized, has hooks or a `forward` of its own, or can't be traced; a loss that is a plain
    function, or your own block and not hybridized) is called as it is, with the same numbers.

    Parameters
    ----------
    static
        Plan the graph's memory for batches of one size; another size is planned anew.
    """
    if _is_graph(net) and _is_graph(loss):
        graph = _Graph(net, loss)
        try:
            graph(mx.sym.var("data"), mx.sym.var("label"))
        except Exception:  # whatever this net does with an input that is not there yet
            return _plain(net, loss)
        graph.hybridize(static_alloc=static, static_shape=static)
        return graph
    return _plain(net, loss)


#: How many images of the first batch the fused graph and the net must agree on, and how well:
#: the greatest difference as a share of the greatest output. A wrong fusion differs by far more,
#: float32 rounding by about 1e-6. An operator of MXNet's may fail when it is called again only.
_COMPARED, _CALLS, _TOLERANCE = 16, 3, 1e-4


def inference_of(
    net: gluon.Block, ctxs: Sequence[mx.Context]
) -> Callable[[nd.NDArray], nd.NDArray]:
    """The forward pass outside of training, with the weights that `net` has now.

    On the CPU, in a hybridized net, oneDNN computes a convolution with the batch norm, ReLU and
    sum that follow as one operator. The first call compares with `net` itself, which is used
    if the numbers are not the same, or if the net can't be fused. On one device the graph is
    planned once, and keeps the weights as oneDNN has laid them out.
    """
    fused = _fused(net) if all(ctx.device_type == "cpu" for ctx in ctxs) else None
    if fused is None:
        return net
    one_device = len(ctxs) == 1
    chosen: gluon.Block | None = None

    def infer(X: nd.NDArray) -> nd.NDArray:
        nonlocal chosen
        if chosen is None:
            chosen = net
            # Dense after a global pooling of a single pixel fails where the shape is static.
            for static_shape in (True, False) if one_device else (False,):
                fused.hybridize(static_alloc=one_device, static_shape=static_shape)
                if _agree(fused, net, X[:_COMPARED]):
                    chosen = fused
                    break
        return chosen(X)

    return infer


def _fused(net: gluon.Block) -> gluon.SymbolBlock | None:
    """`net` with oneDNN's fused operators, sharing its parameters, or None."""
    if not _is_graph(net):
        return None
    data = mx.sym.var("data", dtype="float32")
    try:
        symbol = net(data)
        params = net.collect_params()
        activations = {
            node["attrs"]["act_type"]
            for node in json.loads(symbol.tojson())["nodes"]
            if node["op"] == "Activation"
        }
        # A convolution with another activation than ReLU inside is slower than the two apart.
        if activations - {"relu"} or any(
            np.dtype(param.dtype) != np.float32 for param in params.values()
        ):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # types that are still to be inferred
            return gluon.SymbolBlock(symbol.get_backend_symbol("MKLDNN"), data, params=params)
    except Exception as error:  # whatever this net does with an input that is not there yet
        log.debug("the net is not fused: %s", error)
        return None


def _agree(fused: gluon.Block, net: gluon.Block, X: nd.NDArray) -> bool:
    expected = net(X).astype("float32").asnumpy()
    try:
        for _ in range(_CALLS):
            found = fused(X).astype("float32").asnumpy()
    except mx.base.MXNetError as error:
        log.debug("the fused net does not run: %s", error)
        return False
    return np.allclose(found, expected, rtol=0, atol=_TOLERANCE * np.abs(expected).max())


def _is_graph(block: object) -> bool:
    """Whether it does without Python for each batch: hybridized, or one of MXNet's losses."""
    return (
        isinstance(block, HybridBlock)
        and (block._active or type(block).__module__ == gluon.loss.__name__)
        and type(block).forward in (HybridBlock.forward, gluon.SymbolBlock.forward)
        and not (block._forward_hooks or block._forward_pre_hooks)
    )


def num_correct(y_hat: nd.NDArray, y: nd.NDArray) -> nd.NDArray:
    """How many rows of `y_hat` (N, classes) have their greatest entry at `y` (N,)."""
    # In float32, whatever the outputs are: bfloat16 does not know all class numbers apart.
    return (y_hat.argmax(axis=1).astype("float32") == y.astype("float32")).sum()


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
