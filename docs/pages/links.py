"""Links from one page to another, and from the text of the repository's files to the pages."""

from __future__ import annotations

import os
import re

from languages import joined

from .repository import ROOT
from .site_map import file_of, page_of

_LINK = re.compile(r"\[([^\[\]]*)\]\(([^()\s]+)\)")


def relative(place: str, page: str) -> str:
    """A place in the docs' folder, as a page names it."""
    return os.path.relpath(place, os.path.dirname(page) or ".").replace(os.sep, "/")


def relinked(text: str, source: str, page: str) -> str:
    """The text of a file of the repository, for a page: its links lead to the site's pages.

    A file without a page is downloaded. What leads to a folder, or to the page itself, is no link.
    """

    def replaced(found: re.Match[str]) -> str:
        words, target = found.groups()
        if "://" in target:
            return found.group()
        path, _, part = target.partition("#")
        place = os.path.normpath(os.path.join(os.path.dirname(source), path)) if path else source
        at = page_of(place, part, page)
        if at == page or (at is None and (ROOT / place).is_dir()):
            return words
        if at is None and not (ROOT / place).exists():
            return found.group()
        return f"[{words}]({relative(file_of(at) if at else f'../{place}', page)})"

    return _LINK.sub(replaced, joined(text))
