"""What the chapter scripts share: options and run folders. It holds no training."""

from .chapter import Chapter

__all__ = ["Chapter"]
