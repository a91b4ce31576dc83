"""Markdown taken apart and put together: parts of files, tables, lists of pages."""

from __future__ import annotations

import re
from typing import Iterable

from .repository import read


def parts_of(place: str) -> list[str]:
    """The parts of a file below its headings of the second level, which become the first."""
    _, *parts = re.split(r"^## ", read(place), flags=re.MULTILINE)
    shifted = [re.sub(r"^#(##+ )", r"\1", part, flags=re.MULTILINE) for part in parts]
    return [f"# {part.strip()}\n" for part in shifted]


def without_heading(text: str) -> str:
    return re.sub(r"\A##? .*\n+", "", text)


def without_markup(heading: str) -> str:
    return heading.lstrip("# ").replace("`", "")


def table_rows(text: str) -> list[list[str]]:
    """The cells of a Markdown table, its heading first."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [rows[0], *(row for row in rows[1:] if not row[0].startswith("---"))]


def toctree(pages: Iterable[str], hidden: bool = False) -> str:
    """The list of the pages below a page, which the sidebar shows too."""
    option = ":hidden:\n" if hidden else ""
    listed = "".join(f"{page}\n" for page in pages)
    return f"```{{toctree}}\n{option}:maxdepth: 1\n\n{listed}```\n"
