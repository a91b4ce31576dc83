"""Images in the memory of a GPU, so that a batch needs only their numbers."""

from __future__ import annotations

import logging

import mxnet as mx
from mxnet import nd
import numpy as np

from ..gpu.kernels import kernels_on
from ..system.errors import last_line
from ..system.nvidia_driver import lacks_code

log = logging.getLogger("gluonbook")

#: Share of the free memory that images may take. The rest is for the net and its batches.
_SHARE = 0.25


#: Values that an array of MXNet's can have.
_MOST = 2**31


class DeviceImages:
    """uint8 images (N, 1, H, W) on one device."""

    def __init__(self, images: np.ndarray, ctx: mx.Context) -> None:
        self._images, self._ctx = nd.array(images, dtype=np.uint8, ctx=ctx), ctx

    def take(self, indices: np.ndarray) -> nd.NDArray:
        """The images of these numbers, float32 in [0, 1], on the device."""
        chosen = nd.array(indices, dtype=np.int32, ctx=self._ctx)
        if lacks_code(self._ctx):
            taken = nd.empty((len(indices), *self._images.shape[1:]), self._ctx)
            given = (taken, self._images, chosen, taken.size // len(taken))
            kernels_on(self._ctx).launch("take_images", taken.size, *given)
            return taken
        return nd.take(self._images, chosen).astype(np.float32) / 255

    def all(self) -> nd.NDArray:
        """Every image, as `take` gives it."""
        if lacks_code(self._ctx):
            return self.take(np.arange(len(self._images)))
        return self._images.astype(np.float32) / 255


def kept_on(ctx: mx.Context, images: np.ndarray) -> DeviceImages | None:
    """`images` in the memory of `ctx`; None if that is no GPU, or one that has no room for them.

    Images that come back otherwise than they went, or an error, are no more than a reason to send
    each batch.
    """
    if ctx.device_type != "gpu":
        return None
    try:
        free, _ = mx.context.gpu_memory_info(ctx.device_id)
        if images.nbytes > _SHARE * free or images.size >= _MOST:
            return None
        kept = DeviceImages(images, ctx)
        some = np.linspace(0, len(images) - 1, num=min(16, len(images))).astype(np.int32)
        if np.array_equal(kept.take(some).asnumpy(), images[some] / np.float32(255)):
            return kept
        log.info("images are sent to %s batch by batch: they come back changed", ctx)
    except mx.base.MXNetError as error:
        log.info("images are sent to %s batch by batch: %s", ctx, last_line(error))
    return None
