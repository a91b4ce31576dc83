"""The later Inception nets against PyTorch definitions that share no code with them.

No library of the test environment has these nets. So they are written down here once more, as their
published definitions are structured: BN-Inception's for Caffe, Inception v4's and Inception-ResNet
v2's by their authors in TF-slim, and Inception-ResNet v1's as FaceNet uses it.
"""

from __future__ import annotations

from functools import partial

import gluonbook as gb
from gluonbook.operations import gluon_ops
from mxnet import nd
import pytest
import torch
from torch import nn

from .test_inception import close, two_images


class Conv(nn.Sequential):
    """A convolution, batch normalisation and ReLU, for any number of channels."""

    def __init__(self, channels, kernel, stride=1, padding=0, bias=False, eps=1e-3):
        super().__init__(
            nn.LazyConv2d(channels, kernel, stride, padding, bias=bias),
            nn.LazyBatchNorm2d(eps=eps),
            nn.ReLU(),
        )


class Paths(nn.ModuleList):
    """Side by side over one input, joined along the channels."""

    def forward(self, x):
        return torch.cat([path(x) for path in self], dim=1)


class Added(nn.Module):
    """The input plus the scaled result of the paths, with ReLU."""

    def __init__(self, channels, scale, *paths, relu=True):
        super().__init__()
        self.paths, self.conv = Paths(paths), nn.LazyConv2d(channels, 1)
        self.scale, self.relu = scale, relu

    def forward(self, x):
        y = x + self.scale * self.conv(self.paths(x))
        return torch.relu(y) if self.relu else y


def end(*layers):
    return (nn.AdaptiveAvgPool2d(1), nn.Flatten(), *layers, nn.LazyLinear(10))


def caffes_bninception():
    """Every pooling with stride 2 rounds up, and none of them is padded."""
    conv = partial(Conv, bias=True, eps=1e-5)

    def halved():
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    def keeps_size(one, reduce_3, conv_3, reduce_double, double, project, pool=nn.AvgPool2d):
        return Paths(
            [
                conv(one, 1),
                nn.Sequential(conv(reduce_3, 1), conv(conv_3, 3, 1, 1)),
                nn.Sequential(conv(reduce_double, 1), conv(double, 3, 1, 1), conv(double, 3, 1, 1)),
                nn.Sequential(pool(3, 1, 1), conv(project, 1)),
            ]
        )

    def halves(reduce_3, conv_3, reduce_double, double):
        return Paths(
            [
                nn.Sequential(conv(reduce_3, 1), conv(conv_3, 3, 2, 1)),
                nn.Sequential(conv(reduce_double, 1), conv(double, 3, 1, 1), conv(double, 3, 2, 1)),
                halved(),
            ]
        )

    return nn.Sequential(
        conv(64, 7, 2, 3),
        halved(),
        conv(64, 1),
        conv(192, 3, 1, 1),
        halved(),
        keeps_size(64, 64, 64, 64, 96, 32),
        keeps_size(64, 64, 96, 64, 96, 64),
        halves(128, 160, 64, 96),
        keeps_size(224, 64, 96, 96, 128, 128),
        keeps_size(192, 96, 128, 96, 128, 128),
        keeps_size(160, 128, 160, 128, 160, 128),
        keeps_size(96, 128, 192, 160, 192, 128),
        halves(128, 192, 192, 256),
        keeps_size(352, 192, 320, 160, 224, 128),
        keeps_size(352, 192, 320, 192, 224, 128, pool=nn.MaxPool2d),
        *end(),
    )


def wide(channels):
    """One row high and seven pixels wide."""
    return Conv(channels, (1, 7), 1, (0, 3))


def high(channels):
    return Conv(channels, (7, 1), 1, (3, 0))


def wide_3(channels):
    return Conv(channels, (1, 3), 1, (0, 1))


def high_3(channels):
    return Conv(channels, (3, 1), 1, (1, 0))


def averaged():
    """The mean of the pixels that there are, without the padding's zeros."""
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def slims_inceptionv4():
    s = nn.Sequential

    def both(channels):
        return Paths([wide_3(channels), high_3(channels)])

    def a():
        return Paths(
            [
                Conv(96, 1),
                s(Conv(64, 1), Conv(96, 3, 1, 1)),
                s(Conv(64, 1), Conv(96, 3, 1, 1), Conv(96, 3, 1, 1)),
                s(averaged(), Conv(96, 1)),
            ]
        )

    def b():
        return Paths(
            [
                Conv(384, 1),
                s(Conv(192, 1), wide(224), high(256)),
                s(Conv(192, 1), high(192), wide(224), high(224), wide(256)),
                s(averaged(), Conv(128, 1)),
            ]
        )

    def c():
        return Paths(
            [
                Conv(256, 1),
                s(Conv(384, 1), both(256)),
                s(Conv(384, 1), high_3(448), wide_3(512), both(256)),
                s(averaged(), Conv(256, 1)),
            ]
        )

    return s(
        *(Conv(32, 3, 2), Conv(32, 3), Conv(64, 3, 1, 1)),
        Paths([nn.MaxPool2d(3, 2), Conv(96, 3, 2)]),
        Paths([s(Conv(64, 1), Conv(96, 3)), s(Conv(64, 1), wide(64), high(64), Conv(96, 3))]),
        Paths([Conv(192, 3, 2), nn.MaxPool2d(3, 2)]),
        *(a() for _ in range(4)),
        Paths(
            [
                Conv(384, 3, 2),
                s(Conv(192, 1), Conv(224, 3, 1, 1), Conv(256, 3, 2)),
                nn.MaxPool2d(3, 2),
            ]
        ),
        *(b() for _ in range(7)),
        Paths(
            [
                s(Conv(192, 1), Conv(192, 3, 2)),
                s(Conv(256, 1), wide(256), high(320), Conv(320, 3, 2)),
                nn.MaxPool2d(3, 2),
            ]
        ),
        *(c() for _ in range(3)),
        *end(),
    )


def stem():
    """Inception v3's, of which both Inception-ResNets take as much as they need."""
    return [
        *(Conv(32, 3, 2), Conv(32, 3), Conv(64, 3, 1, 1), nn.MaxPool2d(3, 2)),
        *(Conv(80, 1), Conv(192, 3)),
    ]


def facenets_inceptionresnetv1():
    s = nn.Sequential

    def a():
        return Added(
            *(256, 0.17, Conv(32, 1), s(Conv(32, 1), Conv(32, 3, 1, 1))),
            s(Conv(32, 1), Conv(32, 3, 1, 1), Conv(32, 3, 1, 1)),
        )

    def b():
        return Added(896, 0.1, Conv(128, 1), s(Conv(128, 1), wide(128), high(128)))

    def c(scale=0.2, relu=True):
        narrow = s(Conv(192, 1), wide_3(192), high_3(192))
        return Added(1792, scale, Conv(192, 1), narrow, relu=relu)

    return s(
        *stem(),
        Conv(256, 3, 2),
        *(a() for _ in range(5)),
        Paths(
            [
                Conv(384, 3, 2),
                s(Conv(192, 1), Conv(192, 3, 1, 1), Conv(256, 3, 2)),
                nn.MaxPool2d(3, 2),
            ]
        ),
        *(b() for _ in range(10)),
        Paths(
            [
                s(Conv(256, 1), Conv(384, 3, 2)),
                s(Conv(256, 1), Conv(256, 3, 2)),
                s(Conv(256, 1), Conv(256, 3, 1, 1), Conv(256, 3, 2)),
                nn.MaxPool2d(3, 2),
            ]
        ),
        *(c() for _ in range(5)),
        c(1.0, relu=False),
        *end(nn.LazyLinear(512, bias=False), nn.LazyBatchNorm1d(eps=1e-3)),
    )


def slims_inceptionresnetv2():
    s = nn.Sequential

    def a():
        return Added(
            *(320, 0.17, Conv(32, 1), s(Conv(32, 1), Conv(32, 3, 1, 1))),
            s(Conv(32, 1), Conv(48, 3, 1, 1), Conv(64, 3, 1, 1)),
        )

    def b():
        return Added(1088, 0.1, Conv(192, 1), s(Conv(128, 1), wide(160), high(192)))

    def c(scale=0.2, relu=True):
        narrow = s(Conv(192, 1), wide_3(224), high_3(256))
        return Added(2080, scale, Conv(192, 1), narrow, relu=relu)

    return s(
        *stem(),
        nn.MaxPool2d(3, 2),
        Paths(
            [
                Conv(96, 1),
                s(Conv(48, 1), Conv(64, 5, 1, 2)),
                s(Conv(64, 1), Conv(96, 3, 1, 1), Conv(96, 3, 1, 1)),
                s(averaged(), Conv(64, 1)),
            ]
        ),
        *(a() for _ in range(10)),
        Paths(
            [
                Conv(384, 3, 2),
                s(Conv(256, 1), Conv(256, 3, 1, 1), Conv(384, 3, 2)),
                nn.MaxPool2d(3, 2),
            ]
        ),
        *(b() for _ in range(20)),
        Paths(
            [
                s(Conv(256, 1), Conv(384, 3, 2)),
                s(Conv(256, 1), Conv(288, 3, 2)),
                s(Conv(256, 1), Conv(288, 3, 1, 1), Conv(320, 3, 2)),
                nn.MaxPool2d(3, 2),
            ]
        ),
        *(c() for _ in range(9)),
        c(1.0, relu=False),
        Conv(1536, 1),
        *end(),
    )


PUBLISHED = {
    "bninception": caffes_bninception,
    "inceptionv4": slims_inceptionv4,
    "inceptionresnetv1": facenets_inceptionresnetv1,
    "inceptionresnetv2": slims_inceptionresnetv2,
}
#: Images of a quick run: the least that all poolings halve, or are wide enough for.
SIZES = {"bninception": (64, 96, 101), "inceptionv4": (107,)}


def randomize(layer):
    """Weights that keep the signal's size, and running statistics as after training."""
    if isinstance(layer, (nn.Conv2d, nn.Linear)):
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
        nn.init.uniform_(layer.weight, 0.5, 1.5)
        nn.init.uniform_(layer.bias, -0.5, 0.5)
        nn.init.uniform_(layer.running_mean, -0.5, 0.5)
        nn.init.uniform_(layer.running_var, 0.5, 2)


#: PyTorch's names of the values of a layer.
ROLES = {"running mean": "running_mean", "running var": "running_var"}


def give_weights(theirs, ours):
    """Layer by layer in the order of computation: nothing else of the nets is compared."""
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d)
    layers = [layer for layer in theirs.modules() if isinstance(layer, kinds)]
    ops = [op for op in gluon_ops(ours) if op.weights]
    assert len(layers) == len(ops)
    for layer, op in zip(layers, ops):
        for role, parameter in op.weights.items():
            value = getattr(layer, ROLES.get(role, role))
            parameter.set_data(nd.array(value.detach().numpy()))


@pytest.mark.parametrize("name", PUBLISHED)
def test_outputs_are_those_of_the_published_structure(name):
    theirs, ours = PUBLISHED[name]().eval(), gb.get_model(name, 10)
    sizes = SIZES.get(name, (96,))
    with torch.no_grad():
        theirs(torch.zeros(1, 3, sizes[0], sizes[0]))
        theirs.apply(randomize)
        ours.initialize()
        ours(nd.zeros((1, 3, sizes[0], sizes[0])))
        give_weights(theirs, ours)
        for size in sizes:
            X = two_images(size)
            close(ours(nd.array(X)), theirs(torch.from_numpy(X)))


def test_bninception_counts_as_published():
    """10,016 of the parameters are biases of convolutions; with 10 classes, 990 outputs fewer."""
    theirs = caffes_bninception().eval()
    theirs(torch.zeros(1, 3, 64, 64))
    assert sum(p.numel() for p in theirs.parameters()) == 11_295_240 - 990 * 1025
