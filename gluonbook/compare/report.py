"""A comparison as the files of a folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from .comparison import Comparison, num_parameters
from .picture import draw
from .text import text


def write(one: Comparison, folder: Path) -> None:
    """Write ``compare.txt``, ``compare.json``, ``compare.png`` and two CSV files."""
    (folder / "compare.txt").write_text(text(one), encoding="utf-8")
    (folder / "compare.json").write_text(
        json.dumps(one.as_json(), indent=2) + "\n", encoding="utf-8"
    )
    rows = [["torch", "gluon", "operation", "output", "parameters", "differences"]]
    for layer in one.layers:
        op = layer.either
        rows.append(
            [
                layer.torch.name if layer.torch else "",
                layer.gluon.name if layer.gluon else "",
                str(op),
                "×".join(map(str, op.shape or ())),
                str(num_parameters(op)),
                "; ".join(layer.differences),
            ]
        )
    _write_csv(folder / "layers.csv", rows)
    if one.curves is not None:
        header = ["step", "gluon_loss", "torch_loss", "gluon_acc", "torch_acc"]
        _write_csv(
            folder / "training.csv",
            [header, *([i, *row] for i, row in enumerate(zip(*one.curves), 1))],
        )
    draw(one, folder / "compare.png")


def _write_csv(path: Path, rows: list[Any]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
