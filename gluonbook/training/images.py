"""Images of another type than the net's weights, and in a layout that it cannot take."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, Sequence

import mxnet as mx
from mxnet import gluon, nd
import numpy as np

from ..data.batches import BatchError, SplitBatch
from ..system.errors import Failure
from ..system.nvidia_driver import lacks_code
from .graphs import Inference, Outcome
from .loop import Computation


class Converting:
    """`computation` of `net`, which is given images in the type of the net's weights.

    MXNet's layers take no others. Plain NumPy batches become float32 as they are made arrays of
    MXNet's, while a ``DataLoader`` keeps the type that the data set has.

    Raises
    ------
    BatchError
        If MXNet cannot compute with the images, and their channels are the last axis.
    """

    def __init__(self, net: object, computation: Computation) -> None:
        self._computation, self._type = computation, type_taken_by(net)

    def train(self, parts: SplitBatch, trainer: gluon.Trainer) -> Sequence[Outcome]:
        parts = [(converted(X, self._type), y) for X, y in parts]
        with layout_named(parts[0][0]):
            return self._computation.train(parts, trainer)

    def inference(self, ctxs: Sequence[mx.Context]) -> Inference:
        return converting(self._computation.inference(ctxs), self._type)


def converting(infer: Inference, taken: str | None) -> Inference:
    """`infer`, which is given images of the type `taken`; raises as `Converting` does."""

    def answer(X: nd.NDArray) -> nd.NDArray:
        X = converted(X, taken)
        with layout_named(X):
            return infer(X)

    return answer


def type_taken_by(net: object) -> str | None:
    """The type of the images that a net computes with, that of its weights; None if not known."""
    if not isinstance(net, gluon.Block):
        return None
    given = [param.dtype for param in net.collect_params().values()]
    types = {dtype if isinstance(dtype, str) else np.dtype(dtype).name for dtype in given}
    # In float16 batch norm keeps float32, and in int8 there are scales in float32.
    return next((name for name in ("float16", "float64", "float32") if name in types), None)


def converted(X: nd.NDArray, taken: str | None) -> nd.NDArray:
    """The images as numbers of the type `taken`; as they are if that is None."""
    if taken is None or np.dtype(X.dtype) == taken:
        return X
    if X.dtype == np.bool_ or lacks_code(X.context):  # where MXNet cannot
        here = nd.array(X.asnumpy().astype(taken), dtype=taken)
        return here.as_in_context(X.context)
    return X.astype(taken)


@contextmanager
def layout_named(X: nd.NDArray) -> Iterator[None]:
    """Within it, an error of MXNet's on images as files hold them names their shape."""
    try:
        yield
    except (mx.base.MXNetError, ValueError) as error:
        if isinstance(error, Failure) or not _channels_are_last(X.shape):
            raise
        raise BatchError(
            f"the net cannot compute with images of shape {X.shape}, whose channels are the last "
            "axis: nets take (N, C, H, W), which the data set gives by "
            "transform_first(gluon.data.vision.transforms.ToTensor())"
        ) from error


def _channels_are_last(shape: tuple[int, ...]) -> bool:
    channels = (1, 3, 4)
    return len(shape) == 4 and shape[-1] in channels and shape[1] not in channels
