"""bfloat16 through MXNet's AMP: for which nets it is safe here, and why it is refused elsewhere.

In bfloat16 a number has float32's range and 8 significant bits instead of 24. AMP casts the inputs
of convolutions and dense layers to it, and keeps weights, batch norm and loss in float32.
"""

from __future__ import annotations

import logging
import os

import mxnet as mx
from mxnet.contrib import amp

from .machine import instruction_sets
from .runtime import Failure

_TOO_FEW = "30 steps were too few for the loss to leave ln 10 in either precision"

#: What ``benchmarks/bfloat16.py`` found of each section, with oneDNN's kernels for AVX-512 BF16.
#: None is safe; a text is the reason to refuse. A section that is missing has not been tried.
SOAKED: dict[str, str | None] = {
    "lenet": "it trains at 1.04 times float32's speed",
    "alexnet": _TOO_FEW,
    "vgg": _TOO_FEW,
    "nin": None,
    "googlenet": _TOO_FEW,
    "resnet": None,
    "densenet": "it trains at 1.00 times float32's speed",
}

#: oneDNN chooses AMX kernels only if this variable asks for them.
_ISA = "DNNL_MAX_CPU_ISA"


def refusal(section: str, ctx: mx.Context) -> str | None:
    """Why `section` should not be trained in bfloat16 on `ctx`, or None if it is safe."""
    if ctx.device_type != "cpu":
        return f"bfloat16 is for the CPU, and the device is {ctx}: add --device cpu"
    if "AVX-512 BF16" not in instruction_sets():
        return "this processor has no instructions for bfloat16 (AVX-512 BF16): leave --amp out"
    if "AMX" in os.environ.get(_ISA, "").upper():
        return (
            f"{_ISA}={os.environ[_ISA]} asks for oneDNN's AMX kernels, some of which write outside "
            "their memory in the version inside MXNet 1.9.1: unset it"
        )
    if section not in SOAKED:
        return f"{section} has not been tried in bfloat16: leave --amp out"
    reason = SOAKED[section]
    return None if reason is None else f"{reason}: leave --amp out"


def use_bfloat16(section: str, ctx: mx.Context) -> None:
    """Let all nets that are built from now on in this process compute in bfloat16.

    Raises
    ------
    Failure
        If that is not known to be safe for `section` on this machine; says why.
    """
    reason = refusal(section, ctx)
    if reason is not None:
        raise Failure(f"--amp: {reason}")
    init_amp()


def init_amp() -> None:
    """Switch MXNet's AMP to bfloat16, for the rest of this process."""
    # It logs with the root logger, which then gets a handler if it has none.
    silent, root = logging.NullHandler(), logging.getLogger()
    root.addHandler(silent)
    try:
        amp.init(target_dtype="bfloat16")
    finally:
        root.removeHandler(silent)
