"""What the front page includes: a table of what each net reached."""

from __future__ import annotations

from gluonbook.measure.tables import markdown
from gluonbook.recipes import RECIPES

from .full_runs import full_run
from .links import relative
from .site_map import file_of
from .wording import Words


def reached(words: Words) -> str:
    """The test accuracy of each section's full run, beside the book's."""
    return markdown(words.reached, [row_of(section, words) for section in RECIPES])


def row_of(section: str, words: Words) -> tuple[str, str, str]:
    """A net with the options of its run that differ from the book, its accuracy, the book's."""
    page = file_of(f"{words.folder}{section}")
    title = RECIPES[section].title.partition(",")[0]
    net = f"[{title}]({relative(page, f'{words.folder}index')})"
    run = full_run(section)
    if run is None:
        return net, words.no_full_run, "–"
    accuracy = run.test_acc.replace(" ", "\N{NO-BREAK SPACE}")
    return f"{net} `{run.how}`" if run.how else net, f"**{accuracy}**", run.book_test_acc
