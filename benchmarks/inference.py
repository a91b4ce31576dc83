"""Inference: gluonbook, PyTorch's forms, onnxruntime, and int8 here and in PyTorch, interleaved.

Images a second in batches of 1, 32 and the recipe's, and the latency of single images.
"""

from __future__ import annotations

from statistics import median

from forms import INT8, ONNXRUNTIME, TORCH_INT8
from gluonbook.compare.speed import FORMS
from gluonbook.recipes import RECIPES
from training import OURS, RATIOS, forms_of, main, table_of

import results

_RATIOS = {
    **RATIOS,
    "÷ onnxruntime": (OURS, (ONNXRUNTIME,)),
    "int8 ÷ float32": (INT8, (OURS,)),
    "int8 ÷ PyTorch's": (INT8, (TORCH_INT8,)),
}


def tables_of(rows: list[dict]) -> str:
    """Images a second; and where single images were measured, their milliseconds too."""
    singles = [row for row in rows if row["latency"]]
    rates = table_of(rows, _RATIOS)
    return f"{rates}\n{latency_of(singles)}" if singles else rates


def latency_of(rows: list[dict]) -> str:
    """Median and 99th percentile for one image, each the median of the rounds."""
    forms = forms_of(rows)
    lines = []
    for row in rows:
        cells = []
        for form in forms:
            rounds = row["latency"].get(form)
            figures = [f"{1000 * median(values):.2f}" for values in zip(*rounds)] if rounds else []
            cells.append(" / ".join(figures) or "—")
        lines.append([RECIPES[row["section"]].title, *cells])
    return results.markdown(["one image, ms: median / 99 %", *forms], lines)


if __name__ == "__main__":
    main(
        *("infer", "inference", "Inference"),
        [*FORMS, INT8, ONNXRUNTIME, TORCH_INT8],
        tables_of,
        (1, 32, None),
    )
