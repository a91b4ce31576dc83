"""Pages of the results that are more than their overview shows."""

from __future__ import annotations

from .links import relinked
from .markdown import without_markup
from .repository import ROOT, read
from .wording import ENGLISH


def result_page(name: str) -> str:
    """A result's table, with its picture and its figures where it has them."""
    text = relinked(read(f"results/{name}.md"), f"results/{name}.md", f"results/{name}")
    picture = ROOT / "results" / f"{name}.png"
    if picture.exists():
        title = without_markup(text.partition("\n")[0])
        text += f"\n![{title}](../../results/{name}.png)\n"
    if picture.with_suffix(".json").exists():
        text += f"\n{{download}}`{ENGLISH.figures} <../../results/{name}.json>`\n"
    return text
