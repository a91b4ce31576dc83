"""``gluonbook.utils``: another name for ``gluonbook``, for code that imports from it."""

from __future__ import annotations

import gluonbook


def __getattr__(name: str) -> object:
    return getattr(gluonbook, name)


def __dir__() -> list[str]:
    return dir(gluonbook)
