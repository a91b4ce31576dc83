"""Notebooks that are the same each time they are made."""

from __future__ import annotations

import jupytext
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

from .repository import ROOT
from .wording import Words


def cells_of(script: str) -> list[NotebookNode]:
    """The cells of a chapter or an exercise, by its path from the repository's root."""
    return jupytext.read(ROOT / script).cells


def notebook_of(cells: list[NotebookNode]) -> NotebookNode:
    """A notebook of those cells that are not empty."""
    cells = [cell for cell in cells if cell.source.strip() or cell.get("outputs")]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return new_notebook(cells=cells, metadata=metadata)


def download(section: str, words: Words) -> NotebookNode:
    """A chapter as a notebook that runs where the package is installed, and says how to get it."""
    first = new_markdown_cell(
        f"{words.install}\n\n```bash\npython3 -m venv .venv\n"
        ".venv/bin/pip install -e '.[cpu,notebook]'\n```"
    )
    return notebook_of([first, *cells_of(f"chapters/{words.folder}{section}.py")])
