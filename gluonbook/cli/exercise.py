"""One run of an exercise: its command line, and the table and picture that answer it."""

from __future__ import annotations

import argparse
from functools import partial
import json
import os
from pathlib import Path
import shlex
import sys
import time
from typing import Any, Callable, Sequence

import mxnet as mx

from ..gpu.device import devices
from ..measure.tables import markdown
from ..plots.figure import save_picture
from ..system import files, machine
from ..system.errors import one_line_if_interrupted, print_sentences, printable
from ..system.messages import describe
from ..system.output import in_notebook, show_picture
from ..system.ownership import SOFTWARE, refuse_foreign, versions
from .parser import (
    Parser,
    add_shared,
    held_out_images,
    image_size,
    out_folder,
    quick_test,
    runs_folder,
    whole_number,
)

with one_line_if_interrupted():
    from matplotlib.figure import Figure


class Exercise:
    """The options of an exercise's script, and the folder that takes its answer.

    As a script, the options are those of the command line. In a notebook they are the defaults,
    or the list given as `argv`.

    Parameters
    ----------
    name
        Of the script, and of the files that `answer` writes.
    question
        One sentence for ``--help``.
    defaults
        What the options are where the command line does not say otherwise: ``limit`` (training
        images), ``hold_out`` (training images to test on instead of the test images), ``epochs``,
        ``batch_size``, ``size`` (pixels), ``seeds`` (how many, from 1 on) and ``depth``. Options
        that are not among them are not offered.

    Attributes
    ----------
    options
        The resolved options.
    ctx
        The device to train on.
    """

    def __init__(
        self, name: str, question: str, argv: Sequence[str] | None = None, **defaults: int
    ) -> None:
        if argv is None:
            argv = [] if in_notebook() else sys.argv[1:]
        sizes = [_option(each) for each in ("batch_size", "size") if each in defaults]
        print_sentences(partial(describe, options=sizes))
        self.name = name
        self.options = _parser(question, defaults).parse_args(argv)
        refuse_foreign(Path(self.options.out, f"{name}.{kind}") for kind in ("md", "json", "png"))
        self.ctx = devices(self.options.device)[0]
        self._command = shlex.join(["python", f"chapters/exercises/{name}.py", *argv])

    @property
    def training(self) -> dict[str, Any]:
        """The arguments of ``chapters/exercises/trial.py`` that the options state."""
        options = self.options
        data = {"root": options.data, "limit": options.limit}
        if "hold_out" in options:
            data["hold_out"] = options.hold_out
        elif options.limit_test is None:
            data["limit_test"] = quick_test(options.limit)
        else:
            data["limit_test"] = options.limit_test
        return {
            "num_epochs": options.epochs,
            "batch_size": options.batch_size,
            "size": options.size,
            "ctx": self.ctx,
            "data": data,
        }

    @property
    def seeds(self) -> range:
        """The seeds to train from."""
        return range(1, self.options.seeds + 1)

    def answer(
        self,
        title: str,
        header: Sequence[str],
        rows: Sequence[Sequence[object]],
        figure: Figure | None = None,
    ) -> None:
        """Print a table, and write it as ``NAME.md`` and ``NAME.json`` with ``NAME.png``.

        Raises
        ------
        Failure
            If the files cannot be written.
        """
        table = markdown(header, [[_text(value) for value in row] for row in rows])
        where = machine.describe()
        told = (
            f"# {title}\n\n{table}\n`{self._command}`, {time.strftime('%Y-%m-%d')}, "
            f"{where['processor']}, {where['cores']} cores, "
            f"{os.environ.get('OMP_NUM_THREADS')} threads, MXNet {mx.__version__}, "
            f"{SOFTWARE}.\n"
        )
        folder = out_folder(self.options.out)
        named = [dict(zip(header, row)) for row in rows]
        result = {"command": self._command, "machine": where, "versions": versions()}
        files.write(folder / f"{self.name}.md", told)
        files.write(
            folder / f"{self.name}.json", json.dumps({**result, "rows": named}, indent=2) + "\n"
        )
        print(f"\n{told}")
        if figure is not None:
            save_picture(figure, folder / f"{self.name}.png")
            show_picture(folder / f"{self.name}.png")
        print(printable(f"written to {folder}"), file=sys.stderr)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


#: The options that only some exercises have: what each may be, and what ``--help`` says of it.
_NUMBERS: dict[str, tuple[Callable[[str], int], str]] = {
    "depth": (whole_number, "number of layers of the deep net"),
    "limit": (whole_number, "train on the first N images (60000 are all)"),
    "hold_out": (held_out_images, "do not train on the last N training images, and test on them"),
    "epochs": (whole_number, "passes over the training images"),
    "batch_size": (whole_number, "images in a batch"),
    "size": (image_size, "height and width of the images, in pixels"),
    "seeds": (whole_number, "train from this many seeds"),
}


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _parser(question: str, defaults: dict[str, int]) -> argparse.ArgumentParser:
    parser = Parser(question)
    for name, value in defaults.items():
        kind, told = _NUMBERS[name]
        parser.add_argument(_option(name), type=kind, default=value, metavar="N", help=told)
    if "limit" in defaults:
        if "hold_out" not in defaults:
            parser.add_argument(
                "--limit-test",
                type=whole_number,
                metavar="N",
                help="test on the first N images; by default a sixth of --limit, but at least "
                "1,000",
            )
        add_shared(parser, "--data")
    add_shared(parser, "--device")
    parser.add_argument(
        "--out",
        default=str(runs_folder() / "exercises"),
        metavar="DIR",
        help="folder that the table and the picture are written into",
    )
    add_shared(parser, "--debug")
    return parser
