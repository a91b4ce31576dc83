"""The device to train on: a GPU that has been seen to work, else the CPU and the reason why."""

from __future__ import annotations

import functools
import logging
import os

import mxnet as mx
from mxnet import autograd, nd

from ..system import machine, nvidia_driver
from ..system.errors import Failure, last_line
from . import check

log = logging.getLogger("gluonbook")

#: MXNet 1.9.1 for CUDA 11.2 holds machine code for compute capability 5.0 to 8.6 and no PTX. On
#: another GPU its kernels fail with this message.
NO_KERNEL = "no kernel image"
_NO_CODE = (
    "this MXNet has no code for its architecture (it knows compute capability 5.0 to 8.9: up to "
    "the RTX 40 series, not Hopper or Blackwell)"
)
#: What is told of such a GPU where it works all the same.
_BY_OPERATIONS = (
    "MXNet has no code for {0}: gluonbook trains and evaluates on it operation by operation, by "
    "NVIDIA's libraries and kernels of its own. What else you compute on {0} ends in 'no kernel "
    "image is available'"
)


def try_gpu() -> mx.Context:
    """The first GPU, ``gpu(0)``, if an operator runs on it; else ``cpu(0)``.

    If no GPU is used, the logger ``gluonbook`` warns once with the reason. A machine without an
    NVIDIA GPU, with the CPU build of MXNet, gets no warning.
    """
    return try_all_gpus()[0]


def try_all_gpus() -> list[mx.Context]:
    """Every GPU on which an operator runs, in order; ``[cpu(0)]`` if there is none.

    A GPU that does not work is left out, with one warning as from `try_gpu`.
    """
    gpus, faults = working_gpus()
    for gpu in filter(nvidia_driver.lacks_code, gpus):
        tell_what_works_on(gpu)
    if _for_cuda() or machine.has_nvidia_gpu():
        for fault in faults:
            _log_once(fault)
    return gpus or [mx.cpu()]


#: What makes MXNet and CUDA's libraries compute the same numbers in every run on a GPU.
_DETERMINISTIC = {
    "MXNET_ENFORCE_DETERMINISM": "1",
    "MXNET_CUDNN_AUTOTUNE_DEFAULT": "0",
    nvidia_driver.TF32: "0",
}


def be_deterministic() -> None:
    """Let GPUs compute the same numbers in every run, and in full float32, from now on.

    cuDNN then neither tries several algorithms in the first step nor adds in an order of chance,
    and convolutions keep all 24 significant bits, where TensorFloat-32 has 11. Call it before
    anything runs on a GPU. The CPU's numbers are the same in every run anyway.
    """
    os.environ.update(_DETERMINISTIC)


def devices(choice: str) -> list[mx.Context]:
    """The devices that an option ``--device`` names: ``auto``, ``all``, ``cpu``, ``gpu:0,1`` …

    Raises
    ------
    Failure
        If a GPU that is named does not work; says why.
    """
    if choice == "auto":
        return [try_gpu()]
    if choice == "all":
        return try_all_gpus()
    kind, _, text = choice.partition(":")
    numbers = [int(number) for number in text.split(",")] if text else None
    if kind == "cpu":
        return [mx.cpu(number) for number in numbers or [0]]
    gpus, faults = working_gpus()
    wanted = gpus[:1] if numbers is None else [mx.gpu(number) for number in numbers]
    missing = [str(gpu) for gpu in wanted if gpu not in gpus]
    if missing or not wanted:
        why = "; ".join(faults) or f"there is no {' and no '.join(missing)}"
        raise Failure(f"--device {choice}: {why}; use --device cpu, or auto for what works")
    return wanted


def working_gpus() -> tuple[list[mx.Context], list[str]]:
    """The GPUs on which an operator runs, and why each other, or every one, is left out."""
    count, reason = _count_gpus()
    if count == 0:
        return [], [f"no GPU: {reason}"]
    faults = {mx.gpu(i): _fault(i) for i in range(count)}
    return (
        [gpu for gpu, fault in faults.items() if fault is None],
        [f"{gpu} is not used: {fault}" for gpu, fault in faults.items() if fault is not None],
    )


def _count_gpus() -> tuple[int, str]:
    """Number of GPUs that the driver lists, and the reason if that is none."""
    if not _for_cuda():
        fix = "(`python -m gluonbook.doctor` says how to change that)"
        return 0, f"this MXNet is the CPU build {fix}"
    try:
        count = mx.context.num_gpus()
    except mx.base.MXNetError as error:
        return 0, f"the NVIDIA driver does not answer ({last_line(error)})"
    return count, "the NVIDIA driver finds no GPU"


def _for_cuda() -> bool:
    return mx.runtime.Features().is_enabled("CUDA")


@functools.lru_cache(maxsize=None)
def _fault(device_id: int) -> str | None:
    """Why GPU `device_id` cannot train, or None if a convolution and its gradient ran there."""
    ctx = mx.gpu(device_id)
    if nvidia_driver.lacks_code(ctx):
        reason = check.fault(ctx)
        if reason is None:
            return None
        driver = nvidia_driver.ask()
        assert driver is not None
        gpu = driver.gpus[device_id]
        return "it is the {}, compute capability {}.{}, {}; gluonbook's own kernels: {}".format(
            gpu.name, *gpu.capability, _NO_CODE, reason
        )
    try:
        x = nd.ones((1, 1, 4, 4), ctx=ctx)
        x.attach_grad()
        with autograd.record():
            y = nd.Convolution(
                x, nd.ones((1, 1, 3, 3), ctx=ctx), no_bias=True, num_filter=1, kernel=(3, 3)
            )
        y.backward()
        x.grad.asnumpy()
    except mx.base.MXNetError as error:
        if NO_KERNEL in str(error):
            return _NO_CODE
        return last_line(error)
    return None


def tell_what_works_on(ctx: mx.Context) -> None:
    """Say once what can be computed on a GPU that MXNet has no code for."""
    _log_once(_BY_OPERATIONS.format(ctx))


@functools.lru_cache(maxsize=None)
def _log_once(message: str) -> None:
    log.warning(message)
