"""A comparison as the files of a folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from ..plots.comparison import draw_comparison
from ..plots.figure import save_picture
from . import curves
from .comparison import Comparison, num_parameters
from .numbers import FLOAT32_TOLERANCE, FLOAT64_TOLERANCE
from .text import text


def write(one: Comparison, folder: Path) -> None:
    """Write ``compare.txt``, ``compare.json``, ``compare.png`` and two CSV files."""
    (folder / "compare.txt").write_text(text(one), encoding="utf-8")
    (folder / "compare.json").write_text(
        json.dumps(one.as_json(), indent=2) + "\n", encoding="utf-8"
    )
    header = ["torch", "gluon", "operation", "output", "parameters", "differences"]
    rows = [
        [
            layer.torch.name if layer.torch else "",
            layer.gluon.name if layer.gluon else "",
            layer.either,
            "×".join(map(str, layer.either.shape or ())),
            num_parameters(layer.either),
            "; ".join(layer.differences),
        ]
        for layer in one.layers
    ]
    _write_csv(folder / "layers.csv", [header, *rows])
    if one.curves is not None:
        header = ["step", "gluon_loss", "torch_loss", "gluon_acc", "torch_acc"]
        steps = ([i, *row] for i, row in enumerate(zip(*one.curves), 1))
        _write_csv(folder / "training.csv", [header, *steps])
    _draw(one, folder / "compare.png")


def _write_csv(path: Path, rows: list[Any]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _draw(one: Comparison, path: Path) -> None:
    training, differences = {}, {}
    if one.curves is not None and one.exact is not None:
        training = {
            "PyTorch": (one.exact.torch_loss, one.exact.torch_acc),
            "Gluon": (one.exact.gluon_loss, one.exact.gluon_acc),
        }
        differences = {
            "Gluon and PyTorch, float64": one.exact.differences(),
            "Gluon and PyTorch, float32 (not judged)": one.curves.differences(),
            "PyTorch's float32 and its own float64": one.own_rounding(),
        }
    rows = {row.quantity: row for row in one.numbers or []}
    ran = {speed.form.replace(", ", ",\n"): speed for speed in one.speeds or [] if not speed.fault}
    figure = draw_comparison(
        f"{one.title}: Gluon ({one.edition} edition) and PyTorch",
        training=training,
        differences=differences,
        tolerance=("allowed in float64", curves.TOLERANCE),
        errors={
            "Gluon and PyTorch, float64": {q: row.relative for q, row in rows.items()},
            "Gluon float32 and PyTorch float64": {q: row.gluon_error for q, row in rows.items()},
            "PyTorch float32 and float64": {q: row.torch_error for q, row in rows.items()},
        },
        tolerances={
            "allowed in float64": dict.fromkeys(rows, FLOAT64_TOLERANCE),
            "allowed in float32": {q: FLOAT32_TOLERANCE for q in rows if q != "gradients"},
        },
        speeds={
            "training": {form: speed.training for form, speed in ran.items()},
            "inference": {form: speed.inference for form, speed in ran.items()},
        },
        speed_title=_speed_title(one),
    )
    save_picture(figure, path, dpi=110)


def _speed_title(one: Comparison) -> str:
    if not one.speeds:
        return "speed"
    title = f"speed, float32, batches of {one.options['speed_batch_size']}"
    return f"{title}\nbeside other processes: do not trust the ratios" if one.disturbance else title
