"""MXNet's own class of the data set, made to read the same verified files.

The section on AlexNet uses that class directly.
"""

from __future__ import annotations

import os
from typing import Any

import mxnet as mx
from mxnet import nd
import numpy as np

from ..system import mxnet_private
from .fashion_mnist import fashion_mnist


def _read(root: str, train: bool) -> tuple[Any, Any]:
    """Images (N, 28, 28, 1) and labels (N,), in the types that MXNet's own reader gives."""
    data = fashion_mnist(os.path.abspath(root))  # MXNet has expanded a ~ already
    split = data.train if train else data.test
    images = split.images.reshape(-1, 28, 28, 1)
    if mx.util.is_np_array():
        return mx.np.array(images, dtype=np.uint8), mx.np.array(split.labels, dtype=np.int32)
    return nd.array(images, dtype=np.uint8), split.labels.copy()


mxnet_private.read_fashion_mnist_with(_read)
