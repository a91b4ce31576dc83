"""``gluonbook.chapter``: another name for ``gluonbook.cli``, for notebooks that import from it."""

from .cli import Chapter

__all__ = ["Chapter"]
