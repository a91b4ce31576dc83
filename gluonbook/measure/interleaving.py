"""Fair measurements on a machine whose speed varies."""

from __future__ import annotations

from statistics import median
from typing import Callable, Mapping

__all__ = ["interleaved", "median"]


def interleaved(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure every side once in each round, so that a slow minute falls on all alike.

    A first round, not counted, warms up caches and allocators.
    """
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for i in range(rounds + 1):
        for name, measure in sides.items():
            value = measure()
            if i > 0:
                figures[name].append(value)
    return figures
