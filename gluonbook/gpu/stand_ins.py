"""MXNet's functions that its own Python code calls on a GPU, where they would fail: zeros, updates.

`install` puts a function of ours before each. It does what is asked on a GPU that MXNet has no code
for, and elsewhere calls MXNet's. So parameters are initialized there as everywhere, and a trainer
updates them by its own schedule, counts and states.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

import mxnet as mx
from mxnet import nd

from ..system import mxnet_private
from ..system.nvidia_driver import lacks_code
from .kernels import kernels_on

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


def multi_sgd_update(original: Callable[..., Any]) -> Callable[..., Any]:
    """One step of SGD for several weights: arrays are each weight and its gradient."""

    def stand_in(*arrays: nd.NDArray, **settings: Any) -> Any:
        if not lacks_code(arrays[0].context):
            return original(*arrays, **settings)
        kernels, shared = kernels_on(arrays[0].context), _shared(settings)
        rates = zip(settings["lrs"], settings["wds"])
        for (weight, gradient), (rate, decay) in zip(_groups(arrays, 2), rates):
            kernels.launch("sgd", weight.size, weight, gradient, rate, decay, *shared)

    return stand_in


def multi_sgd_mom_update(original: Callable[..., Any]) -> Callable[..., Any]:
    """The same with momentum: arrays are each weight, its gradient and its velocity."""

    def stand_in(*arrays: nd.NDArray, **settings: Any) -> Any:
        if not lacks_code(arrays[0].context):
            return original(*arrays, **settings)
        kernels, shared = kernels_on(arrays[0].context), _shared(settings)
        momentum, rates = settings["momentum"], zip(settings["lrs"], settings["wds"])
        for (weight, gradient, velocity), (rate, decay) in zip(_groups(arrays, 3), rates):
            given = (weight, velocity, gradient, momentum, rate, decay, *shared)
            kernels.launch("sgd_momentum", weight.size, *given)

    return stand_in


def adam_update(original: Callable[..., Any]) -> Callable[..., Any]:
    """One step of Adam."""

    def stand_in(
        weight: nd.NDArray, gradient: nd.NDArray, mean: nd.NDArray, variance: nd.NDArray, **s: Any
    ) -> Any:
        if not lacks_code(weight.context):
            return original(weight, gradient, mean, variance, **s)
        numbers = (s["beta1"], s["beta2"], s["epsilon"], s["lr"], s["wd"], *_shared(s))
        arrays = (weight, mean, variance, gradient)
        kernels_on(weight.context).launch("adam", weight.size, *arrays, *numbers)

    return stand_in


def _shared(settings: dict[str, Any]) -> tuple[float, float]:
    """The scale of the gradients, and where they are clipped: below 0, nowhere."""
    return settings.get("rescale_grad", 1.0), settings.get("clip_gradient", -1.0)


def _groups(arrays: Sequence[nd.NDArray], size: int) -> list[Sequence[nd.NDArray]]:
    return [arrays[start : start + size] for start in range(0, len(arrays), size)]
