"""The files of the repository that the pages are made of."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
EXERCISES = sorted(
    path.stem for path in (ROOT / "chapters/exercises").glob("*.py") if path.stem != "trial"
)
#: Results with a page of their own; `compare` stands on the page on the two editions.
RESULTS = sorted(
    path.stem for path in (ROOT / "results").glob("*.md") if path.stem not in ("README", "compare")
)


def read(place: str) -> str:
    """The text of a file by its path from the repository's root."""
    return (ROOT / place).read_text(encoding="utf-8")
