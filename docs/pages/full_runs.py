"""The full run of each section, which stands beside a recording of a quick look."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from gluonbook.recipes import RECIPES

from .links import relative
from .markdown import table_rows
from .repository import read
from .wording import ENGLISH, Words


class FullRun(NamedTuple):
    """A training of a section in full, with the book's numbers or as near as it learns at all."""

    section: str
    name: str
    """Of the run's files in results/reproduce, but for their ends."""
    how: str
    """The options that differ from the book; empty where none does."""
    last_epoch: dict[str, float]
    """What the run measured in its last epoch."""

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


#: Whose full run the pages show.
SEED = 1


def full_run(section: str) -> FullRun | None:
    """The section's full run from seed 1 with the fewest options, the device not counted."""
    rows = json.loads(read("results/reproduce.json"))["rows"]
    runs = [row for row in rows if (row["section"], row["seed"]) == (section, SEED)]
    row = min(filter(follows_the_book, runs), key=_departures, default=None)
    if row is None:
        return None
    return FullRun(section, row["name"], " ".join(row["options"]), row["epochs"][-1])


def _departures(row: dict[str, Any]) -> tuple[int, bool]:
    """The number of options that depart from the book, and whether the run is a GPU's."""
    on_gpu = "--device" in row["options"]
    return len(row["options"]) - 2 * on_gpu, on_gpu


def follows_the_book(row: dict[str, Any]) -> bool:
    """Whether a run has the book's epochs, and its numbers or those that are stable."""
    recipe = row["config"]["options"].get("recipe", "book")
    of_the_book = len(row["epochs"]) == RECIPES[row["section"]].num_epochs
    return recipe in ("book", "stable") and of_the_book


def what_it_reached(section: str, words: Words, page: str) -> str:
    """The section's full run in a sentence, and its curve; empty where there is none."""
    run = full_run(section)
    if run is None:
        return ""
    how = f", `{run.how}`" if words is ENGLISH else f"（`{run.how}`）"
    last = run.last_epoch
    told = words.full_run.format(
        how=how if run.how else "",
        epochs=round(last["epoch"]),
        seed=SEED,
        test_acc=last["test_acc"],
        book=run.book_test_acc,
    )
    picture = relative(f"../results/reproduce/{run.name}-curve.png", page)
    return f"{told}\n\n![{RECIPES[section].title}]({picture})\n"
