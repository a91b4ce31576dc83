"""Images a second of training: gluonbook, the book's form, and PyTorch's forms, interleaved."""

from __future__ import annotations

import os
import sys

from gluonbook.compare.speed import AS_WRITTEN, LOADING, TORCH_FORMS, seconds_of, workers_of
from gluonbook.measure.contenders import AS_THE_BOOK, HYBRIDIZED
from gluonbook.measure.interleaving import median
from gluonbook.recipes import RECIPES
from matplotlib.figure import Figure

import results

OURS = "gluonbook"


def measure(work: str, forms: list[str], section: str, batch_size: int, rounds: int) -> dict:
    """Images a second of each form, one figure per round; a form that fails gives its reason."""
    with workers_of(forms, section, "pytorch", batch_size, [work]) as (workers, faults):
        seconds = seconds_of(workers, work, rounds)
    loading = seconds.pop(LOADING, None)
    threads = int(os.environ["OMP_NUM_THREADS"])
    return {
        "section": section,
        "batch_size": batch_size,
        "image_size": RECIPES[section].size,
        "threads": {form: None if form == AS_THE_BOOK else threads for form in forms},
        "images_per_second": {
            OURS if form == HYBRIDIZED else form: [batch_size / value for value in values]
            for form, values in seconds.items()
        },
        "faults": faults,
        "loading_share": loading and median(loading) / median(seconds[HYBRIDIZED]),
    }


def rates_of(row: dict) -> dict[str, float]:
    """The median of each form."""
    return {form: median(values) for form, values in row["images_per_second"].items()}


def table_of(rows: list[dict]) -> str:
    """Medians, and gluonbook's speed as a multiple of PyTorch's and of the book's form.

    PyTorch's is taken as written, and in its fastest form. For training also the time to load a
    batch, as a share of the step. A form that failed has a dash.
    """
    forms = list(dict.fromkeys(form for row in rows for form in row["images_per_second"]))
    with_book = AS_THE_BOOK in forms
    header = ["section", "batch", "image", *forms, "÷ PyTorch as written", "÷ fastest PyTorch"]
    lines = []
    for row in rows:
        rates = rates_of(row)
        rivals: list[list[str]] = [[AS_WRITTEN], list(TORCH_FORMS), *[[AS_THE_BOOK]] * with_book]
        fastest = [max(rates.get(form, 0.0) for form in rival) for rival in rivals]
        ours = rates.get(OURS, 0.0)
        loading = row["loading_share"]
        lines.append(
            [
                RECIPES[row["section"]].title,
                str(row["batch_size"]),
                str(row["image_size"]),
                *(f"{rates[form]:,.0f}" if form in rates else "—" for form in forms),
                *(f"{ours / rate:.2f}" if ours and rate else "—" for rate in fastest),
                *["—" if loading is None else f"{loading:.2%}"] * with_book,
            ]
        )
    return results.markdown(header + ["÷ as the book runs it", LOADING] * with_book, lines)


def picture_of(rows: list[dict]) -> Figure:
    """Each form's speed as a multiple of PyTorch's as written."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    forms = list(dict.fromkeys(form for row in rows for form in row["images_per_second"]))
    width = 0.8 / len(forms)
    for i, form in enumerate(forms):
        shares = [
            rates.get(form, 0) / rates[AS_WRITTEN] if AS_WRITTEN in rates else 0.0
            for rates in map(rates_of, rows)
        ]
        axes.bar([j + width * i for j in range(len(rows))], shares, width, label=form)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xticks(
        [j + 0.4 - width / 2 for j in range(len(rows))], [row["section"] for row in rows]
    )
    axes.set_ylabel("rate ÷ PyTorch as written")
    figure.legend(loc="outside upper center", fontsize="small", ncols=len(forms))
    return figure


def main(work: str, name: str, title: str, forms: list[str]) -> None:
    options = results.parser(title, rounds=5, sections=True)
    options.add_argument("--batch-size", type=int, help="instead of each recipe's")
    options.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    options = options.parse_args()
    if options.no_compile:
        forms = [form for form in forms if not form.endswith("compiled")]
    rows = []
    for section in options.sections:
        batch_size = options.batch_size or RECIPES[section].batch_size
        rows.append(measure(work, forms, section, batch_size, options.rounds))
        print(section, rates_of(rows[-1]), rows[-1]["faults"], file=sys.stderr, flush=True)
    heading = f"{title}, images a second, median of {options.rounds} interleaved rounds"
    results.write(name, options.out, heading, table_of(rows), rows, picture_of(rows))


if __name__ == "__main__":
    main("train", "training", "Training in float32", [HYBRIDIZED, AS_THE_BOOK, *TORCH_FORMS])
