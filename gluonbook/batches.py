"""``gluonbook.batches``: another name for the loader's protocol in ``gluonbook.data``."""

from .data.batches import BatchError, PositionedLoader

__all__ = ["BatchError", "PositionedLoader"]
