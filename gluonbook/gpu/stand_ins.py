"""MXNet's functions that its own Python code calls on a GPU, where they would fail: zeros, updates.

`install` puts a function of ours before each. It does what is asked on a GPU that MXNet has no code
for, and elsewhere calls MXNet's. So parameters are initialized there as everywhere, and a trainer
updates them by its own schedule, counts and states.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Mapping, Sequence

import mxnet as mx
from mxnet import nd

from ..system import mxnet_private
from ..system.nvidia_driver import lacks_code
from .kernels import Kernels, kernels_on

#: The optimizers whose updates are computed there.
OPTIMIZERS = (mx.optimizer.SGD, mx.optimizer.Adam)


def install() -> None:
    """Put our functions before MXNet's, where this is its build for CUDA."""
    if mx.runtime.Features().is_enabled("CUDA"):
        for make in (zeros, multi_sgd_update, multi_sgd_mom_update, adam_update):
            mxnet_private.stand_before(make.__name__, make)


def zeros(original: Callable[..., nd.NDArray]) -> Callable[..., nd.NDArray]:
    """Zeros of a shape; they come from the CPU."""

    def stand_in(
        shape: Any, ctx: mx.Context | None = None, dtype: Any = None, **more: Any
    ) -> nd.NDArray:
        ctx = ctx or mx.context.current_context()
        if lacks_code(ctx):
            return original(shape, mx.cpu(), dtype, **more).copyto(ctx)
        return original(shape, ctx, dtype, **more)

    return stand_in


#: What computes an update: by the kernels, of these arrays, with the settings MXNet's is given.
_Update = Callable[[Kernels, Sequence[nd.NDArray], Mapping[str, Any]], None]


def _stands_before(update: _Update) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Of an update by our kernels, what makes of MXNet's function one that calls either."""

    @functools.wraps(update)
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def stand_in(*arrays: nd.NDArray, **settings: Any) -> Any:
            ctx = arrays[0].context
            if not lacks_code(ctx):
                return original(*arrays, **settings)
            return update(kernels_on(ctx), arrays, settings)

        return stand_in

    return make


@_stands_before
def multi_sgd_update(
    kernels: Kernels, arrays: Sequence[nd.NDArray], settings: Mapping[str, Any]
) -> None:
    """One step of SGD for several weights: arrays are each weight and its gradient."""
    rates = zip(settings["lrs"], settings["wds"])
    for (weight, gradient), (rate, decay) in zip(_groups(arrays, 2), rates):
        kernels.launch("sgd", weight.size, weight, gradient, rate, decay, *_shared(settings))


@_stands_before
def multi_sgd_mom_update(
    kernels: Kernels, arrays: Sequence[nd.NDArray], settings: Mapping[str, Any]
) -> None:
    """The same with momentum: arrays are each weight, its gradient and its velocity."""
    momentum, rates = settings["momentum"], zip(settings["lrs"], settings["wds"])
    for (weight, gradient, velocity), (rate, decay) in zip(_groups(arrays, 3), rates):
        given = (weight, velocity, gradient, momentum, rate, decay, *_shared(settings))
        kernels.launch("sgd_momentum", weight.size, *given)


@_stands_before
def adam_update(
    kernels: Kernels, arrays: Sequence[nd.NDArray], settings: Mapping[str, Any]
) -> None:
    """One step of Adam: arrays are a weight, its gradient, mean and variance."""
    weight, gradient, mean, variance = arrays
    numbers = [settings[name] for name in ("beta1", "beta2", "epsilon", "lr", "wd")]
    given = (weight, mean, variance, gradient, *numbers, *_shared(settings))
    kernels.launch("adam", weight.size, *given)


def _shared(settings: Mapping[str, Any]) -> tuple[float, float]:
    """The scale of the gradients, and where they are clipped: below 0, nowhere."""
    return settings.get("rescale_grad", 1.0), settings.get("clip_gradient", -1.0)


def _groups(arrays: Sequence[nd.NDArray], size: int) -> list[Sequence[nd.NDArray]]:
    return [arrays[start : start + size] for start in range(0, len(arrays), size)]
