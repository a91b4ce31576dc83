"""``python -m gluonbook.history RUN RUN ...``: the curves of several runs in one picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path
import sys
from typing import Sequence

from .cli.parser import Parser, add_shared
from .plots.curves import draw_runs
from .plots.figure import save_picture
from .runs.checkpoint import checkpoints_in, history_in_checkpoint
from .runs.history import History
from .runs.trained import pretrained_of
from .system.errors import Failure, print_sentences, printable
from .system.messages import describe
from .system.ownership import refuse_foreign
from .zoo.pretrained import names


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the runs that `argv` names, by default the command line; the exit code."""
    print_sentences(partial(describe, options=()))
    parser = Parser(
        "Draw training loss and test accuracy of several runs over one another.",
        prog="python -m gluonbook.history",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help=f"folder of a run, a CSV file, or a net that comes trained: {names()}",
    )
    parser.add_argument(
        "--out", default="history.png", metavar="FILE", help="PNG file for the picture"
    )
    add_shared(parser, "--debug")
    options = parser.parse_args(argv)
    refuse_foreign([options.out])
    histories = {run: _read(Path(run)) for run in options.runs}
    width = max(map(len, histories))
    for run, history in histories.items():
        print(printable(f"{run:<{width}}  {history[-1]}"))
    save_picture(draw_runs({run: [history] for run, history in histories.items()}), options.out)
    print(printable(f"the picture is {options.out}"), file=sys.stderr)
    return 0


def _read(run: Path) -> History:
    if comes_trained := pretrained_of(run):
        return History.read(comes_trained.history)
    path = run / "history.csv"
    if not run.is_dir():
        history = History.read(run)
    elif path.exists() or not checkpoints_in(run):
        history = History.read(path)
    else:
        history = history_in_checkpoint(run)
    if not len(history):
        raise Failure(f"{run} has no epoch yet: draw it once an epoch has ended")
    return history


if __name__ == "__main__":
    sys.exit(main())
