"""A section's page: its chapter, the code in tabs, with what its run printed and showed."""

from __future__ import annotations

from typing import Iterator

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from . import comparison
from .block_drawings import block_drawings
from .exercises import with_answers
from .frameworks import in_pytorch, tabs, trains
from .full_runs import what_it_reached
from .links import relative, relinked
from .notebooks import cells_of, notebook_of
from .recordings import caption, printed, recording
from .wording import Words


def section_page(section: str, words: Words) -> NotebookNode:
    """The page as a notebook, which Sphinx reads."""
    first, *lesson, last = cells_of(script_of(section, words))
    return notebook_of(
        [
            prose(with_downloads(first.source, section, words), section, words),
            *lesson_cells(lesson, section, words),
            prose(with_comparison_and_answers(last.source, section, words), section, words),
        ]
    )


def script_of(section: str, words: Words) -> str:
    return f"chapters/{words.folder}{section}.py"


def prose(text: str, section: str, words: Words) -> NotebookNode:
    """A cell of the chapter's text, its links those of the page."""
    return new_markdown_cell(relinked(text, script_of(section, words), f"{words.folder}{section}"))


def with_downloads(text: str, section: str, words: Words) -> str:
    """The chapter's first cell, with the links that download it below its title."""
    page = f"{words.folder}{section}"
    notebook = relative(f"_notebooks/{page}.ipynb", page)
    script = relative(f"../{script_of(section, words)}", page)
    title, _, rest = text.partition("\n")
    return (
        f"{title}\n\n{{download}}`{words.notebook} <{notebook}>` · "
        f"{{download}}`{words.script} <{script}>`\n{rest}"
    )


def with_comparison_and_answers(text: str, section: str, words: Words) -> str:
    """The chapter's last cell: the editions compared after its summary, its exercises answered."""
    page = f"{words.folder}{section}"
    summary, _, exercises = text.rpartition("\n## ")
    heading, _, exercises = exercises.partition("\n")
    return (
        f"{summary}\n\n{comparison.of_section(section, words, page)}\n## {heading}\n"
        f"{with_answers(exercises, words, page)}"
    )


def lesson_cells(lesson: list[NotebookNode], section: str, words: Words) -> Iterator[NotebookNode]:
    """The cells between the first and the last, each with what belongs beside and below it.

    The drawings stand above the section's first block, a full run below the recording of a quick
    look.
    """
    page = f"{words.folder}{section}"
    code = [cell.source for cell in lesson if cell.cell_type == "code"]
    found = recording(section, code)
    outputs = iter(found.outputs if found else [[]] * len(code))
    is_first, is_drawn = True, False
    for cell in lesson:
        if cell.cell_type == "markdown":
            yield prose(cell.source, section, words)
            continue
        left, other = next(outputs), in_pytorch(section, cell.source, is_first)
        if other is None:
            yield new_code_cell(cell.source, outputs=left)
        else:
            if not (is_first or is_drawn):
                yield new_markdown_cell(block_drawings(section, words, page))
                is_drawn = True
            below = caption(found, section, words) + "\n" if trains(cell.source) else ""
            gluon = f"```python\n{cell.source}\n```\n\n{below}{printed(left)}"
            yield new_markdown_cell(tabs(gluon, other))
        if "args.run.show()" in cell.source and not (found and found.is_full):
            yield new_markdown_cell(what_it_reached(section, words, page))
        is_first = False
