"""Rows of the papers' tables, found by the number of layers."""

from __future__ import annotations

from typing import Mapping, TypeVar

Row = TypeVar("Row")


def row_of(table: Mapping[int, Row], depth: int) -> Row:
    """The row of the net with `depth` layers.

    Raises
    ------
    ValueError
        If the table has none; the message lists the depths that it has.
    """
    if depth not in table:
        raise ValueError(f"depth must be one of {', '.join(map(str, table))}, not {depth!r}")
    return table[depth]
