"""What the chapter scripts share: their options and the folder of a run. No training is in it."""

from .chapter import Chapter

__all__ = ["Chapter"]
