"""``python -m gluonbook``: the commands of this package, a line each."""

from __future__ import annotations

import sys
from typing import Sequence

from .cli.parser import Parser

#: Each command, and what it does.
COMMANDS = {
    "train NAME": "train a section's net, or any other, by a recipe",
    "predict RUN [IMAGE ...]": "classify images with a trained net",
    "history RUN ...": "draw the curves of several runs over one another",
    "export RUN": "write a trained net as an ONNX file",
    "compare SECTION": "hold a net against the PyTorch edition's",
    "launch -- SCRIPT": "train by several processes",
    "doctor": "list what is missing on this machine, and the fix",
}
_WIDTH = max(map(len, COMMANDS))
_LINES = [f"  python -m gluonbook.{name:<{_WIDTH}}  {does}" for name, does in COMMANDS.items()]
_EPILOG = """\
commands:
{}

Each lists its options with --help. The sections of the book are scripts, such as
chapters/resnet.py.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """List the commands; the exit code."""
    parser = Parser(
        "The modern-CNN sections of Dive into Deep Learning, on Apache MXNet Gluon.",
        prog="python -m gluonbook",
        usage="python -m gluonbook.COMMAND",
        epilog=_EPILOG.format("\n".join(_LINES)),
    )
    _, unknown = parser.parse_known_args(argv)
    if unknown:
        named = unknown[0] if unknown[0] in {name.split()[0] for name in COMMANDS} else "COMMAND"
        parser.error(f"a command is written with a dot: python -m gluonbook.{named}")
    parser.print_help()
    return 0


if __name__ == "__main__":
    sys.exit(main())
