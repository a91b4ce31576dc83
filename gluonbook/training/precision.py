"""bfloat16 through MXNet's AMP: allowed for the nets that were tested, refused for the others.

In bfloat16 a number has float32's range and 8 significant bits instead of 24. AMP casts the inputs
of convolutions and dense layers to it, and keeps weights, batch norm and loss in float32.
"""

from __future__ import annotations

import logging
import os

import mxnet as mx
from mxnet.contrib import amp

from ..system import mxnet_private
from ..system.errors import Failure
from ..system.machine import instruction_sets

#: What ``benchmarks/bfloat16.py`` found of each section's recipe, and on which machine. None is
#: safe; a text is the reason to refuse. Untested recipes are refused.
SOAKED: dict[tuple[str, str], str | None] = {
    ("lenet", "book"): "it trains at 1.00 times float32's speed",
    ("alexnet", "book"): None,
    ("vgg", "book"): None,
    ("nin", "stable"): None,
    ("googlenet", "book"): None,
    ("resnet", "book"): None,
    ("densenet", "book"): "it trains at 1.02 times float32's speed",
}
SOAKED_ON = "AMD EPYC, 2 cores"

#: oneDNN chooses AMX kernels only if this variable asks for them.
_ISA = "DNNL_MAX_CPU_ISA"
_FIX = "train without --amp"


def refusal(section: str, recipe: str, ctx: mx.Context) -> str | None:
    """Why `section` should not be trained in bfloat16 on `ctx`, or None if it is safe."""
    if ctx.device_type != "cpu":
        return f"bfloat16 is for the CPU, and the device is {ctx}: add --device cpu"
    if "AVX-512 BF16" not in instruction_sets():
        return f"this processor has no instructions for bfloat16 (AVX-512 BF16): {_FIX}"
    if "AMX" in os.environ.get(_ISA, "").upper():
        return (
            f"{_ISA}={os.environ[_ISA]} asks for oneDNN's AMX kernels, some of which write outside "
            "their memory in the version inside MXNet 1.9.1: unset it"
        )
    if (section, recipe) not in SOAKED:
        tried = [f"use --recipe {other}" for name, other in SOAKED if name == section]
        fix = " or ".join([*tried, _FIX])
        return f"the {recipe} recipe of {section} is untested in bfloat16: {fix}"
    reason = SOAKED[section, recipe]
    return None if reason is None else f"where it was tried ({SOAKED_ON}), {reason}: {_FIX}"


def use(bfloat16: bool, section: str, recipe: str, ctx: mx.Context) -> None:
    """Let all nets that are built from now on in this process compute in bfloat16, or in float32.

    Raises
    ------
    Failure
        If bfloat16 is not known to be safe for `section` on this machine; says why. If float32 is
        asked for where bfloat16 is on already: MXNet cannot turn AMP off again.
    """
    if not bfloat16:
        if mxnet_private.amp_is_on():
            raise Failure(
                "MXNet cannot turn AMP off again: to train in float32, restart Python, or the "
                "notebook's kernel"
            )
        return
    reason = refusal(section, recipe, ctx)
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
