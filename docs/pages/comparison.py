"""The two editions side by side, in numbers."""

from __future__ import annotations

from gluonbook.measure.tables import markdown
from gluonbook.recipes import RECIPES

from .links import relative, relinked
from .markdown import table_rows
from .repository import read
from .wording import ENGLISH, Words


def of_section(section: str, words: Words, page: str) -> str:
    """The section's row of results/compare.md, as a table of two columns."""
    rows = table_rows(read("results/compare.md"))
    [(title, *values)] = [row for row in rows if row[0] == RECIPES[section].title]
    told = (value.replace(ENGLISH.same, words.same) for value in values)
    heading = (words.quantity, title.partition(",")[0])
    cells = markdown(heading, list(zip(words.quantities, told, strict=True)))
    more = f"[{words.more_compared}]({relative(f'{words.folder}comparison.md', page)})"
    return f"{words.compared}\n\n{cells}\n{more}\n"


def of_all_sections(words: Words) -> str:
    """The whole of results/compare.md and its picture, below a heading."""
    page = f"{words.folder}comparison"
    rows = relinked(read("results/compare.md"), "results/compare.md", page)
    picture = relative("../results/compare/resnet.png", page)
    return f"## {words.comparison}\n\n{rows}\n![ResNet-18]({picture})\n"
