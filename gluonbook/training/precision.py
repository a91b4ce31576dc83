"""16-bit numbers through MXNet's AMP: bfloat16 on the CPU, float16 on a GPU.

AMP casts the inputs of convolutions and dense layers to 16 bits, and keeps weights, batch norm and
loss in float32. In bfloat16 a number has float32's range and 8 significant bits instead of 24: it
is allowed for the nets that were tested, and refused for the others. In float16 it has 11
significant bits and nothing below 6e-8, where many gradients lie: the loss is scaled up before the
gradients are computed, and the trainer scales these down. No GPU was at hand to try that.
"""

from __future__ import annotations

import logging
import os
from typing import Sequence

import mxnet as mx
from mxnet.contrib import amp

from ..system import mxnet_private
from ..system.errors import Failure
from ..system.machine import instruction_sets
from ..system.nvidia_driver import lacks_code
from ..system.onednn import ISA_VARIABLE
from .loss_scaling import on_gpus

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

_FIX, _TRAINER = "train without --amp", "python -m gluonbook.train"


def refusal(
    section: str, recipe: str, ctxs: Sequence[mx.Context], *, alone: bool = True
) -> str | None:
    """Why `section` should not be trained in 16 bits on `ctxs`, or None if it may be.

    `alone` says whether this process is the only one that trains.
    """
    if any(map(lacks_code, ctxs)):
        return f"MXNet has no code for {ctxs[0]}, which computes in float32 alone: {_FIX}"
    if on_gpus(ctxs):
        if len(ctxs) > 1 or not alone:
            return "in float16, one GPU trains alone: choose one with --device gpu, or " + _FIX
        return None
    if "AVX-512 BF16" not in instruction_sets():
        return f"this processor has no instructions for bfloat16 (AVX-512 BF16): {_FIX}"
    # oneDNN chooses AMX kernels only if this variable asks for them.
    if "AMX" in os.environ.get(ISA_VARIABLE, "").upper():
        return (
            f"{ISA_VARIABLE}={os.environ[ISA_VARIABLE]} asks for oneDNN's AMX kernels, some of "
            "which write outside their memory in the version inside MXNet 1.9.1: unset it"
        )
    if (section, recipe) not in SOAKED:
        tried = [
            f"use {_TRAINER} {name} --recipe {other}" for name, other in SOAKED if name == section
        ]
        fix = " or ".join([*tried, _FIX])
        return f"the {recipe} recipe of {section} is untested in bfloat16: {fix}"
    reason = SOAKED[section, recipe]
    return None if reason is None else f"where it was tried ({SOAKED_ON}), {reason}: {_FIX}"


def use(
    wanted: bool, section: str, recipe: str, ctxs: Sequence[mx.Context], *, alone: bool = True
) -> None:
    """Let all nets that are built from now on in this process compute in 16 bits, or in float32.

    Raises
    ------
    Failure
        If 16 bits are not known to be safe for `section` on this machine; says why. If float32 is
        asked for where AMP is on already: MXNet cannot turn it off again.
    """
    if not wanted:
        if mxnet_private.amp_is_on():
            raise Failure(
                "MXNet cannot turn AMP off again: to train in float32, restart Python, or the "
                "notebook's kernel"
            )
        return
    reason = refusal(section, recipe, ctxs, alone=alone)
    if reason is not None:
        raise Failure(f"--amp: {reason}")
    init_amp("float16" if on_gpus(ctxs) else "bfloat16")


def init_amp(dtype: str = "bfloat16") -> None:
    """Switch MXNet's AMP to this type, for the rest of this process."""
    # It logs with the root logger, which then gets a handler if it has none.
    silent, root = logging.NullHandler(), logging.getLogger()
    root.addHandler(silent)
    try:
        amp.init(target_dtype=dtype)
    finally:
        root.removeHandler(silent)
