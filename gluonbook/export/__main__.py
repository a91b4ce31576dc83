"""``python -m gluonbook.export RUN``: a trained net as an ONNX file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
import sys
from typing import Sequence

from ..cli.parser import Parser, add_shared, out_folder
from ..runs.trained import check_classes, folder_of, load_run, name_of
from ..system.errors import print_sentences, printable
from ..system.messages import describe
from ..system.ownership import refuse_foreign
from .onnx import fashion_mnist_to_onnx


def main(argv: Sequence[str] | None = None) -> int:
    """Write the net of the run that `argv` names, by default the command line; the exit code."""
    print_sentences(partial(describe, options=()))
    parser = Parser(
        "Write a trained net as an ONNX file, for programs without MXNet.",
        prog="python -m gluonbook.export",
    )
    add_shared(parser, "run")
    parser.add_argument(
        "--out", metavar="FILE", help="the file (default: NET.onnx in RUN, or in runs/NAME)"
    )
    add_shared(parser, "--debug")
    options = parser.parse_args(argv)
    if options.out:
        refuse_foreign([options.out])
    run, name = load_run(options.run), name_of(options.run)
    check_classes(run, options.run)
    path = Path(options.out or out_folder(folder_of(options.run)) / f"{name}.onnx")
    fashion_mnist_to_onnx(run.net, path, run.size, name)
    print(printable(f"the net is in {path}"), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
