"""What the scripts of the chapters and exercises, and the commands, share."""

from ..system.errors import one_line_if_interrupted

with one_line_if_interrupted():
    from .arguments import Arguments, arguments

__all__ = ["Arguments", "arguments"]
