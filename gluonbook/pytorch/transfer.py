"""Copies weights between the editions, matched by structure and not by name.

Weights, biases and running statistics are carried over exactly, unless the net that takes them
keeps fewer digits; both editions keep a convolution's weight as (out, in, height, width), a
transposed one's as (in, out, height, width) and a dense layer's as (out, in).
"""

from __future__ import annotations

import logging
from typing import Any

from mxnet import gluon, nd
import numpy as np
import torch
from torch import nn

from ..system.mxnet_private import give_values, has_values, stop_waiting
from .architecture import architecture
from .operations import is_counter
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
    nets compute differently (say, with another padding), each difference is logged as a warning,
    and so are weights on which the answer of their net does not depend, which stay as they are.

    Raises
    ------
    TransferError, TraceError
        As `pairs` does, and where `gluon_net` cannot hold the numbers; it is then as it was.
    """
    matched = pairs(torch_net, gluon_net)
    _refuse_two_for_one(matched, [id(pair.parameter) for pair in matched])
    values = [_gluons_value(pair) for pair in matched]
    _warn(torch_net, gluon_net, matched)
    for pair, value in zip(matched, values):
        give_values(pair.parameter, nd.array(value, dtype=value.dtype))
        stop_waiting(pair.parameter)


def to_torch(gluon_net: gluon.Block, torch_net: nn.Module) -> None:
    """Copy all weights and running statistics of `gluon_net` into `torch_net`.

    Differences of computation, and weights that stay as they are, are logged as by `to_gluon`.

    Raises
    ------
    TransferError, TraceError
        As `pairs` does, if `gluon_net` has no weights yet, and where `torch_net` cannot hold the
        numbers; it is then as it was.
    """
    matched = pairs(torch_net, gluon_net)
    for pair in matched:
        if not has_values(pair.parameter):
            raise TransferError(
                f"the Gluon net's {pair.gluon_name} has no {pair.role} yet: initialize the net "
                "and run it once"
            )
    _refuse_two_for_one(matched, [id(pair.tensor) for pair in matched])
    # After an inference oneDNN rearranges a convolution's weight in place, in the background;
    # reading it meanwhile gives a mixture.
    nd.waitall()
    values = [_torchs_value(pair) for pair in matched]
    for pair, value in zip(matched, values):
        if pair.torch_fixed and not torch.equal(pair.tensor, value):
            raise TransferError(
                f"PyTorch's {pair.torch_name} is not affine, and Gluon's {pair.gluon_name} has a "
                f"{pair.role} that is not {float(pair.tensor[0]):g}: build it with affine=True"
            )
    _warn(torch_net, gluon_net, matched)
    with torch.no_grad():
        for pair, value in zip(matched, values):
            pair.tensor.copy_(value)


def _gluons_value(pair: Pair) -> np.ndarray:
    """The tensor as Gluon's parameter is to hold it."""
    tensor = pair.tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:  # which NumPy does not have
        tensor = tensor.float()
    value = tensor.numpy()
    if value.shape != pair.parameter.shape and 0 not in pair.parameter.shape:  # a group norm's
        grouped = value.reshape(*pair.parameter.shape, -1)
        value = grouped[:, 0]
        if (grouped != value[:, None]).any():
            raise TransferError(
                f"PyTorch's {pair.torch_name} has a {pair.role} for each channel, and Gluon's "
                f"{pair.gluon_name} one for each group, which cannot hold them: take "
                "another norm in both nets"
            )
    with np.errstate(over="ignore"):
        held = value.astype(pair.parameter.dtype, copy=False)
    _refuse_overflow(pair, np.isfinite(value).all() and not np.isfinite(held).all(), held.dtype)
    return held


def _torchs_value(pair: Pair) -> torch.Tensor:
    """The parameter as PyTorch's tensor is to hold it."""
    value = pair.parameter.data(pair.parameter.list_ctx()[0]).asnumpy()
    if pair.gluon_fixed:
        value = np.ones_like(value)
    if value.shape != tuple(pair.tensor.shape):  # a group norm's
        value = np.repeat(value, len(pair.tensor) // len(value))
    held = torch.from_numpy(value).to(pair.tensor.dtype)
    _refuse_overflow(pair, np.isfinite(value).all() and not held.isfinite().all(), held.dtype)
    return held


def _refuse_overflow(pair: Pair, overflows: Any, dtype: Any) -> None:
    if overflows:
        raise TransferError(
            f"the {pair.role} of {pair.torch_name} · {pair.gluon_name} is too large for {dtype}: "
            "cast the net that takes it to float32"
        )


def _refuse_two_for_one(matched: list[Pair], targets: list[int]) -> None:
    """Refuse different numbers for one place, where a net uses a layer twice and the other two."""
    given: dict[int, Pair] = {}
    for pair, target in zip(matched, targets):
        other = given.setdefault(target, pair)
        if (id(other.tensor), other.parameter) != (id(pair.tensor), pair.parameter):
            raise TransferError(
                f"{other.torch_name} · {other.gluon_name} and {pair.torch_name} · "
                f"{pair.gluon_name} share their {pair.role} in one net and not in the other"
            )


def _warn(torch_net: nn.Module, gluon_net: gluon.Block, matched: list[Pair]) -> None:
    for layer in architecture(gluon_net, torch_net):
        for difference in layer.differences:
            log.warning("the nets compute differently at %s: %s", layer.either.name, difference)
    theirs, ours = {id(pair.tensor) for pair in matched}, {id(p.parameter) for p in matched}
    held = [*torch_net.named_parameters(), *torch_net.named_buffers()]
    _warn_of_the_rest(
        "PyTorch", [name for name, t in held if id(t) not in theirs and not is_counter(name)]
    )
    parameters = gluon_net.collect_params().values()
    _warn_of_the_rest("Gluon", [p.name for p in parameters if id(p) not in ours])


def _warn_of_the_rest(side: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        log.warning("not copied: the %s net's answer does not depend on %s%s", side, names[0], more)
