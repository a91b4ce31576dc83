"""Copies weights between the editions, matched by structure and not by name.

Weights, biases and running statistics are carried over exactly; both editions keep a
convolution's weight as (out, in, height, width) and a dense layer's as (out, in).
"""

from __future__ import annotations

import logging

from mxnet import gluon, nd
import numpy as np
import torch
from torch import nn

from ..system.mxnet_private import has_values, is_initialized
from .architecture import architecture
from .pairs import Pair, TransferError, pairs
from .weight_files import load_weights, save_weights

__all__ = [
    "Pair",
    "TransferError",
    "load_weights",
    "pairs",
    "save_weights",
    "to_gluon",
    "to_torch",
]

log = logging.getLogger("gluonbook")


def to_gluon(torch_net: nn.Module, gluon_net: gluon.Block) -> None:
    """Copy all weights and running statistics of `torch_net` into `gluon_net`.

    `gluon_net` need not be initialized, nor know its input sizes. Where the weights fit but the
    nets compute differently (say, with another padding), each difference is logged as a warning.

    Raises
    ------
    TransferError, TraceError
        As `pairs` does; `gluon_net` is then as it was.
    """
    matched = pairs(torch_net, gluon_net)
    _warn_of_differences(torch_net, gluon_net)
    for pair in matched:
        if not is_initialized(pair.parameter):
            pair.parameter.initialize()
    for pair in matched:
        pair.parameter.set_data(nd.array(pair.tensor.detach().cpu().numpy(), dtype=np.float32))


def to_torch(gluon_net: gluon.Block, torch_net: nn.Module) -> None:
    """Copy all weights and running statistics of `gluon_net` into `torch_net`.

    Differences of computation are logged as by `to_gluon`.

    Raises
    ------
    TransferError, TraceError
        As `pairs` does, and if `gluon_net` has no weights yet; `torch_net` is then as it was.
    """
    matched = pairs(torch_net, gluon_net)
    for pair in matched:
        if not has_values(pair.parameter):
            raise TransferError(
                f"the Gluon net's {pair.gluon_name} has no {pair.role} yet: initialize the net "
                "and run it once"
            )
    _warn_of_differences(torch_net, gluon_net)
    # After an inference oneDNN rearranges a convolution's weight in place, in the background;
    # reading it meanwhile gives a mixture.
    nd.waitall()
    with torch.no_grad():
        for pair in matched:
            value = pair.parameter.data(pair.parameter.list_ctx()[0]).asnumpy()
            pair.tensor.copy_(torch.from_numpy(value))


def _warn_of_differences(torch_net: nn.Module, gluon_net: gluon.Block) -> None:
    for layer in architecture(gluon_net, torch_net):
        for difference in layer.differences:
            log.warning("the nets compute differently at %s: %s", layer.either.name, difference)
