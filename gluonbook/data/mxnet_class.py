"""MXNet's own class of the data set, made to read the same verified files."""

from __future__ import annotations

import os

import mxnet as mx
from mxnet import nd
from mxnet.gluon.data.vision import FashionMNIST as MXNetFashionMNIST
import numpy as np

from .fashion_mnist import fashion_mnist


def _get_data(self: MXNetFashionMNIST) -> None:
    """Fill MXNet's own data set from verified files.

    The section on AlexNet uses that class directly, which accepts the earlier edition alone and
    writes over the files of any other.
    """
    data = fashion_mnist(os.path.abspath(self._root))  # MXNet has expanded a ~ already
    split = data.train if self._train else data.test
    array = mx.np.array if mx.util.is_np_array() else nd.array
    self._data = array(split.images.reshape(-1, 28, 28, 1), dtype=np.uint8)
    self._label = array(split.labels, dtype=np.int32) if mx.util.is_np_array() else split.labels


MXNetFashionMNIST._get_data = _get_data
