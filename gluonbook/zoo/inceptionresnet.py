"""Inception-ResNet v1 and v2: Inception blocks that learn what to add to their input.

Source: Szegedy, Ioffe, Vanhoucke and Alemi, "Inception-v4, Inception-ResNet and the impact of
residual connections on learning", 2017, figures 7, 10 to 19 and section 3.3.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from mxnet.gluon import nn

from .inception_tables import Row, avg_pool, block_of, classifier, max_pool, net_of
from .inceptionv3 import SMALL_STEM, STEM


class InceptionResidual(nn.HybridBlock):
    """Parallel paths, expanded by a 1×1 convolution, scaled and added to the input (figure 20).

    Input and output (N, num_channels, H, W).

    Parameters
    ----------
    paths
        The paths, as an entry of a table.
    num_channels
        Channels of the input, and of the 1×1 convolution, which has a bias and nothing after it.
    scale
        What the result is multiplied by before it is added (section 3.3).
    activation
        ReLU after the addition.
    """

    def __init__(
        self, paths: Row, num_channels: int, scale: float, activation: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._scale, self._activation = scale, activation
        with self.name_scope():
            self.paths = block_of(paths)
            self.expand = nn.Conv2D(num_channels, kernel_size=1)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        y = self._scale * self.expand(self.paths(x)) + x
        return F.Activation(y, act_type="relu") if self._activation else y


# --- v1 -------------------------------------------------------------------------------------------

A_V1 = partial(  # figure 10
    InceptionResidual, ([(32, 1)], [(32, 1), (32, 3)], [(32, 1), (32, 3), (32, 3)]), 256, scale=0.17
)
B_V1 = partial(  # figure 11
    InceptionResidual, ([(128, 1)], [(128, 1), (128, (1, 7)), (128, (7, 1))]), 896, scale=0.1
)
C_V1 = partial(  # figure 13
    InceptionResidual, ([(192, 1)], [(192, 1), (192, (1, 3)), (192, (3, 1))]), 1792, scale=0.2
)

BLOCKS_V1: dict[str, Row] = {
    "inception_resnet_a": 5 * [A_V1],  # (N, 256, 35, 35)
    # (N, 896, 17, 17), figure 7
    "reduction_a": ([(384, 3, 2)], [(192, 1), (192, 3), (256, 3, 2)], [max_pool]),
    "inception_resnet_b": 10 * [B_V1],  # (N, 896, 17, 17)
    "reduction_b": (
        [(256, 1), (384, 3, 2)],
        [(256, 1), (256, 3, 2)],
        [(256, 1), (256, 3), (256, 3, 2)],
        [max_pool],
    ),  # (N, 1792, 8, 8), figure 12
    "inception_resnet_c": 5 * [C_V1] + [partial(C_V1, scale=1.0, activation=False)],
}

# --- v2 -------------------------------------------------------------------------------------------

A_V2 = partial(  # figure 16
    InceptionResidual, ([(32, 1)], [(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)]), 320, scale=0.17
)
B_V2 = partial(  # figure 17
    InceptionResidual, ([(192, 1)], [(128, 1), (160, (1, 7)), (192, (7, 1))]), 1088, scale=0.1
)
C_V2 = partial(  # figure 19
    InceptionResidual, ([(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))]), 2080, scale=0.2
)

BLOCKS_V2: dict[str, Row] = {
    "mixed_5b": (
        [(96, 1)],
        [(48, 1), (64, 5)],
        [(64, 1), (96, 3), (96, 3)],
        [partial(avg_pool, count_include_pad=False), (64, 1)],
    ),  # (N, 320, 35, 35)
    "inception_resnet_a": 10 * [A_V2],  # (N, 320, 35, 35)
    # (N, 1088, 17, 17), figure 7
    "reduction_a": ([(384, 3, 2)], [(256, 1), (256, 3), (384, 3, 2)], [max_pool]),
    "inception_resnet_b": 20 * [B_V2],  # (N, 1088, 17, 17)
    "reduction_b": (
        [(256, 1), (384, 3, 2)],
        [(256, 1), (288, 3, 2)],
        [(256, 1), (288, 3), (320, 3, 2)],
        [max_pool],
    ),  # (N, 2080, 8, 8), figure 18
    "inception_resnet_c": 9 * [C_V2] + [partial(C_V2, scale=1.0, activation=False)],
    "conv_7b": (1536, 1),  # (N, 1536, 8, 8)
}


def inceptionresnetv1(
    num_classes: int = 1000, *, small_images: bool = False
) -> nn.HybridSequential:
    """Inception-ResNet v1, for input (N, C, 299, 299); output (N, num_classes).

    With 3 channels and 1,000 classes it has 23,995,624 parameters, like the net that is used under
    this name to compare faces. The tests compare its outputs with a PyTorch definition of their
    own, written after that net's structure; its code and weights were not run.

    Deviations from the paper are that net's: a sixth block C, which adds its result unscaled and
    has no ReLU after it; and before the last layer a dense layer of 512 outputs, without bias and
    with batch normalisation, which is what faces are compared by.

    Parameters
    ----------
    small_images
        Take images from 28×28 to 96×96, by the stem that `inceptionv3` then has.
    """
    rows: dict[str, Row] = {
        **(SMALL_STEM if small_images else STEM),
        "pool_5a": None,
        "conv_5a": (256, 3, 2),  # (N, 256, 35, 35), figure 14
        **BLOCKS_V1,
        "pool": nn.GlobalAvgPool2D,
        "dropout": partial(nn.Dropout, 0.2),
        "bottleneck": [partial(nn.Dense, 512, use_bias=False), partial(nn.BatchNorm, epsilon=1e-3)],
        "linear": partial(nn.Dense, num_classes),
    }
    return net_of(rows)


def inceptionresnetv2(
    num_classes: int = 1000, *, small_images: bool = False
) -> nn.HybridSequential:
    """Inception-ResNet v2, for input (N, C, 299, 299); output (N, num_classes).

    With 3 channels and 1,000 classes it has 55,843,464 parameters, as the authors' published net
    has. The tests compare its outputs with a PyTorch definition of their own, written after the
    structure of that net's code (TF-slim), whose average excludes the padding; the code itself and
    its weights were not run.

    Deviations from the paper are that net's. It has Inception v3's stem and a block of four paths,
    which give 320 channels, instead of Inception v4's stem, which gives 384. So the blocks add to
    320, 1,088 and 2,080 channels, and they are 10, 20 and 10 instead of 5, 10 and 5. The last one
    adds its result unscaled and has no ReLU after it, and a 1×1 convolution of 1,536 channels
    follows.

    Parameters
    ----------
    small_images
        Take images from 28×28 to 96×96, by the stem that `inceptionv3` then has.
    """
    stem = SMALL_STEM if small_images else STEM
    return net_of({**stem, **BLOCKS_V2, **classifier(num_classes, dropout=0.2)})
