"""Images a second of training: gluonbook, the book's form, and PyTorch's forms, interleaved."""

from __future__ import annotations

from functools import partial
import os
from statistics import median
import sys
from typing import Callable, Sequence

from forms import AS_THE_BOOK, worker_of
from gluonbook.compare.speed import AS_WRITTEN, LOADING, TORCH_FORMS, seconds_of, workers_of
from gluonbook.measure.contenders import HYBRIDIZED
from gluonbook.measure.interleaving import interleaved
from gluonbook.recipes import RECIPES
from matplotlib.figure import Figure

import results

OURS = "gluonbook"


def measure(work: str, forms: list[str], section: str, batch_size: int, rounds: int) -> dict:
    """Images a second of each form, one figure per round; a form that fails gives its reason.

    For inference of single images also the median and the 99th percentile of their seconds.
    """
    workers = workers_of(forms, section, "pytorch", batch_size, [work], worker_of)
    with workers as (workers, faults):
        seconds = seconds_of(workers, work, rounds)
        sides = {form: partial(worker.ask, "latency") for form, worker in workers.items()}
        latency = interleaved(sides, rounds) if (work, batch_size) == ("infer", 1) else {}
    loading = seconds.pop(LOADING, None)
    threads = int(os.environ["OMP_NUM_THREADS"])
    return {
        "section": section,
        "batch_size": batch_size,
        "image_size": RECIPES[section].size,
        "threads": {form: None if form == AS_THE_BOOK else threads for form in forms},
        "images_per_second": {
            name_of(form): [batch_size / value for value in values]
            for form, values in seconds.items()
        },
        "latency": {name_of(form): values for form, values in latency.items()},
        "faults": faults,
        "loading_share": loading and median(loading) / median(seconds[HYBRIDIZED]),
    }


def name_of(form: str) -> str:
    """What results call a form."""
    return OURS if form == HYBRIDIZED else form


def rates_of(row: dict) -> dict[str, float]:
    """The median of each form."""
    return {form: median(values) for form, values in row["images_per_second"].items()}


def forms_of(rows: list[dict]) -> list[str]:
    """The forms that ran, in order."""
    return list(dict.fromkeys(form for row in rows for form in row["images_per_second"]))


#: Columns of ratios: the rate of a form by that of the fastest of some others.
RATIOS = {
    "÷ PyTorch as written": (OURS, (AS_WRITTEN,)),
    "÷ fastest PyTorch": (OURS, TORCH_FORMS),
}
WITH_BOOK = {**RATIOS, "÷ as the book runs it": (OURS, (AS_THE_BOOK,))}


def table_of(rows: list[dict], ratios: dict[str, tuple[str, tuple[str, ...]]] = WITH_BOOK) -> str:
    """Medians, and gluonbook's speed as a multiple of others', as `ratios` names them.

    For training also the time to load a batch, as a share of the step. A form that failed has a
    dash.
    """
    forms = forms_of(rows)
    with_loading = any(row["loading_share"] is not None for row in rows)
    lines = []
    for row in rows:
        rates = rates_of(row)
        pairs = [
            (rates.get(form, 0.0), max(rates.get(rival, 0.0) for rival in rivals))
            for form, rivals in ratios.values()
        ]
        loading = row["loading_share"]
        lines.append(
            [
                RECIPES[row["section"]].title,
                str(row["batch_size"]),
                str(row["image_size"]),
                *(f"{rates[form]:,.0f}" if form in rates else "—" for form in forms),
                *(f"{rate / other:.2f}" if rate and other else "—" for rate, other in pairs),
                *["—" if loading is None else f"{loading:.2%}"] * with_loading,
            ]
        )
    header = ["section", "batch", "image", *forms, *ratios, *[LOADING] * with_loading]
    return results.markdown(header, lines)


def picture_of(rows: list[dict]) -> Figure:
    """Each form's speed as a multiple of PyTorch's as written."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    forms = forms_of(rows)
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


def main(
    work: str,
    name: str,
    title: str,
    forms: list[str],
    table: Callable[[list[dict]], str] = table_of,
    batch_sizes: Sequence[int | None] = (None,),
) -> None:
    """Measure `forms` at each batch size, where None is the recipe's, and write the result."""
    options = results.parser(title, rounds=5, sections=True)
    options.add_argument("--batch-size", type=int, nargs="+", help="instead of each recipe's")
    options.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    options = options.parse_args()
    if options.no_compile:
        forms = [form for form in forms if not form.endswith("compiled")]
    rows = []
    for section in options.sections:
        for size in options.batch_size or batch_sizes:
            batch_size = size or RECIPES[section].batch_size
            rows.append(measure(work, forms, section, batch_size, options.rounds))
            told = (rates_of(rows[-1]), rows[-1]["faults"])
            print(section, batch_size, *told, file=sys.stderr, flush=True)
    heading = f"{title}, images a second, median of {options.rounds} interleaved rounds"
    largest = list({row["section"]: row for row in rows}.values())
    results.write(name, options.out, heading, table(rows), rows, picture_of(largest))


if __name__ == "__main__":
    main("train", "training", "Training in float32", [HYBRIDIZED, AS_THE_BOOK, *TORCH_FORMS])
