"""A trained net that takes images as they are kept, and answers with probabilities."""

from __future__ import annotations

import mxnet as mx
from mxnet import gluon, nd
import numpy as np

from ..data.batches import split_batches
from ..data.image_batches import ImageBatches
from ..nets.auxiliary import answer_of
from ..training.computation import inference_on

_BATCH_SIZE = 256


class Classifier:
    """Resizes and scales images as the net's training did, and classifies them.

    Parameters
    ----------
    net
        Initialized on `ctx`; takes (N, 1, size, size) and gives logits (N, classes), of several
        outputs as the first.
    size
        Height and width of the images that it was trained on.
    ctx
        By default the CPU.
    """

    def __init__(self, net: gluon.Block, size: int, ctx: mx.Context | None = None) -> None:
        self.net, self.size, self.ctx = net, size, ctx or mx.cpu()
        self._infer = inference_on(net, [self.ctx])

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """The probability of each class, float32 (N, classes), for uint8 images (N, 1, H, W)."""
        labels = np.zeros(len(images), np.int32)
        batches = ImageBatches(images, labels, min(_BATCH_SIZE, len(images)), size=self.size)
        return np.concatenate(
            [
                nd.softmax(
                    answer_of(self._infer(X)).as_in_context(mx.cpu()).astype(np.float32)
                ).asnumpy()
                for [(X, _)] in split_batches(batches, [self.ctx])
            ]
        )
