"""Fair measurements on a machine whose speed varies."""

from __future__ import annotations

from typing import Callable, Mapping, TypeVar

T = TypeVar("T")


def interleaved(sides: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Measure every side once in each round, so that a slow minute falls on all alike.

    A first round, not counted, warms up caches and allocators.
    """
    figures: dict[str, list[T]] = {name: [] for name in sides}
    for i in range(rounds + 1):
        for name, measure in sides.items():
            value = measure()
            if i > 0:
                figures[name].append(value)
    return figures
