"""What the chapter scripts share: options and run folders. It holds no training."""

from ..system.errors import one_line_if_interrupted

with one_line_if_interrupted():
    from .chapter import Chapter

__all__ = ["Chapter"]
