"""Pages that are parts of the READMEs."""

from __future__ import annotations

import re

from . import comparison
from .links import relinked
from .markdown import parts_of, toctree, without_heading
from .repository import EXERCISES, RESULTS, read
from .site_map import CHAPTERS_PARTS, README_PARTS
from .wording import ENGLISH, Words


def readme_pages(words: Words) -> dict[str, str]:
    """The text of each page, by its name in the docs' folder."""
    pages = {**chapters_parts(words), **readme_parts(words)}
    pages["comparison"] += f"\n{comparison.of_all_sections(words)}"
    for page, title in words.titles.items():
        pages[page] = f"# {title}\n\n{without_heading(pages[page])}"
    pages["how-to/index"] = how_to(words)
    if words is ENGLISH:
        pages["results/index"] += f"\n{results_overview()}\n{toctree(RESULTS, hidden=True)}"
        pages["exercises/index"] += f"\n{toctree(EXERCISES, hidden=True)}"
    return {f"{words.folder}{page}": text for page, text in pages.items()}


def chapters_parts(words: Words) -> dict[str, str]:
    """The parts of the chapters' README, each a page."""
    place = f"chapters/{words.readme}"
    return {
        page: relinked(text, place, f"{words.folder}{page}")
        for page, text in zip(CHAPTERS_PARTS, parts_of(place), strict=True)
    }


def readme_parts(words: Words) -> dict[str, str]:
    """Some parts of the README, each a page."""
    parts, pages = parts_of(words.readme), {}
    for page, number in README_PARTS.items():
        # The last line of the README leads to pages for those who carry on.
        text = re.sub(r"^\[.*CONTRIBUTING.*\Z", "", parts[number], flags=re.MULTILINE | re.DOTALL)
        pages[page] = relinked(text, words.readme, f"{words.folder}{page}")
    return pages


def how_to(words: Words) -> str:
    """The page that lists those on what the scripts and the package can do."""
    pages = [page for page in (*README_PARTS, *CHAPTERS_PARTS) if page.startswith("how-to/")]
    pages.sort(key=lambda page: page == "how-to/gpu")  # which is for few readers
    listed = toctree(page.removeprefix("how-to/") for page in pages)
    return f"# {words.how_to}\n\n{words.how_to_intro}\n\n{listed}"


def results_overview() -> str:
    text = without_heading(read("results/README.md"))
    return relinked(text, "results/README.md", "results/index")
