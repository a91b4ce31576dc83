"""The full run of each section, which stands beside a recording of a quick look."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

from gluonbook.recipes import RECIPES

from .links import relative
from .markdown import table_rows
from .repository import ROOT, read
from .wording import ENGLISH, Words


class FullRun(NamedTuple):
    """A training of a section in full, with the book's numbers or as near as it learns at all."""

    section: str
    name: str
    """Of the run's files in results/reproduce, but for their ends."""
    options: dict[str, Any]

    @property
    def how(self) -> str:
        """The options that differ from the book; empty where none does."""
        recipe = self.options.get("recipe", "book")
        chosen = [] if recipe == "book" else [f"--recipe {recipe}"]
        return " ".join([*chosen, *["--amp"] * self.options.get("amp", False)])

    @property
    def last_epoch(self) -> dict[str, str]:
        """What the run measured in its last epoch."""
        with open(ROOT / "results/reproduce" / f"{self.name}-history.csv", newline="") as file:
            return list(csv.DictReader(file))[-1]

    @property
    def row(self) -> list[str]:
        """Its row of results/reproduce.md, where the book's figures stand too."""
        title = RECIPES[self.section].title
        title = f"{title}, `{self.how}`" if self.how else title
        [row] = [row for row in table_rows(read("results/reproduce.md")) if row[0] == title]
        return row

    @property
    def test_acc(self) -> str:
        """The mean over its seeds, with the standard deviation where there are several."""
        return self.row[7]

    @property
    def book_test_acc(self) -> str:
        """What the book prints."""
        return self.row[8]


def full_run(section: str) -> FullRun | None:
    """The section's full run from seed 1 that has the fewest options, if there is one."""
    paths = sorted((ROOT / "results/reproduce").glob(f"{section}-*seed1-config.json"))
    runs = [run_of(section, path) for path in paths]
    follows = [run for run in runs if follows_the_book(run)]
    return min(follows, key=lambda run: len(run.name), default=None)


def run_of(section: str, config: Path) -> FullRun:
    options = json.loads(config.read_text())["options"]
    return FullRun(section, config.name.removesuffix("-config.json"), options)


def follows_the_book(run: FullRun) -> bool:
    """Whether a run has the book's epochs, and its numbers or those that are stable."""
    recipe, num_epochs = run.options.get("recipe", "book"), run.options["num_epochs"]
    return recipe in ("book", "stable") and num_epochs == RECIPES[run.section].num_epochs


def what_it_reached(section: str, words: Words, page: str) -> str:
    """The section's full run in a sentence, and its curve; empty where there is none."""
    run = full_run(section)
    if run is None:
        return ""
    how = f", `{run.how}`" if words is ENGLISH else f"（`{run.how}`）"
    last = run.last_epoch
    told = words.full_run.format(
        how=how if run.how else "",
        epochs=last["epoch"],
        seed=run.options["seed"],
        test_acc=float(last["test_acc"]),
        book=run.book_test_acc,
    )
    picture = relative(f"../results/reproduce/{run.name}-curve.png", page)
    return f"{told}\n\n![{RECIPES[section].title}]({picture})\n"
