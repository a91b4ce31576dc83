"""All that was compared of one section, and whether the two nets are the same by it."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Any

import torch

from ..operations import Op
from ..pytorch.architecture import Layer
from ..system import machine
from ..system.ownership import versions
from . import curves
from .curves import Curves, parted_at, relative
from .numbers import FLOAT32_TOLERANCE, FLOAT64_TOLERANCE, Difference
from .speed import Speed


@dataclass
class Comparison:
    """All that was compared of one section."""

    section: str
    title: str
    edition: str
    options: dict[str, Any]
    layers: list[Layer]
    mismatch: str | None = None
    numbers: list[Difference] | None = None
    curves: Curves | None = None
    exact: Curves | None = None
    """The same steps in float64, which are judged."""
    test_accuracies: tuple[float, float] | None = None
    """Of the Gluon and the PyTorch net after the training in float64."""
    alike: tuple[int, int] | None = None
    """Test images to which both then give the same class, and how many there were."""
    speeds: list[Speed] | None = None
    disturbance: str | None = None
    """A remark if other processes held the cores while speed was measured."""

    @property
    def parameters(self) -> tuple[int, int]:
        """Numbers that training changes, in the Gluon and in the PyTorch net."""
        return (
            sum(num_parameters(layer.gluon) for layer in self.layers),
            sum(num_parameters(layer.torch) for layer in self.layers),
        )

    def faults(self) -> list[str]:
        """Each difference beyond its tolerance, in a few words."""
        found = [
            f"{_names(layer)}: {difference}"
            for layer in self.layers
            for difference in layer.differences
        ]
        if self.mismatch:
            found.append(self.mismatch)
        for row in self.numbers or []:
            if not row.within:
                found.append(
                    f"{row.quantity} {row.where}: relative difference {row.relative:.1e}, allowed "
                    f"{FLOAT64_TOLERANCE:.0e}"
                )
            if not row.within_in_float32:
                found.append(
                    f"{row.quantity} in float32: Gluon's relative error {row.gluon_error:.1e}, "
                    f"allowed {FLOAT32_TOLERANCE:.0e}"
                )
        if self.exact and parted_at(self.exact.differences()):
            found.append(
                f"training in float64: the losses part by more than "
                f"{curves.TOLERANCE:.0e} at step {parted_at(self.exact.differences())}"
            )
        return found

    def own_rounding(self) -> list[float]:
        """PyTorch's float32 against its own float64, at the steps that were run in both."""
        assert self.curves is not None and self.exact is not None
        return relative(self.curves.torch_loss, self.exact.torch_loss)

    def as_json(self) -> dict[str, Any]:
        """The comparison as plain values."""
        return {
            "section": self.section,
            "edition": self.edition,
            "options": self.options,
            "machine": machine.describe(),
            "versions": {**versions(), "torch": torch.__version__},
            "parameters": dict(zip(("gluon", "torch"), self.parameters)),
            "operations": len(self.layers),
            "numbers": self.numbers and [row._asdict() for row in self.numbers],
            "training": self.curves and self.curves._asdict(),
            "training_float64": self.exact and self.exact._asdict(),
            "test_accuracies": self.test_accuracies,
            "classified_alike": self.alike,
            "speed": self.speeds and [speed._asdict() for speed in self.speeds],
            "disturbance": self.disturbance,
            "faults": self.faults(),
        }


def num_parameters(op: Op | None) -> int:
    """Numbers in the weights of an operation that training changes; none where it is missing."""
    return sum(
        math.prod(op.weights[role].shape)
        for role in ("weight", "bias")
        if op and role in op.weights
    )


def _names(layer: Layer) -> str:
    names = {op.name for op in (layer.torch, layer.gluon) if op is not None}
    return " · ".join(sorted(names))
