"""What the benchmarks share: their options, and a result written as table, JSON and picture."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import shlex
import subprocess
import sys
import time
from typing import Callable, Iterable, Sequence

from gluonbook.measure.tables import markdown
from gluonbook.plots.figure import save_picture
from gluonbook.recipes import RECIPES
from gluonbook.system import machine, ownership, runtime
from gluonbook.system.ownership import SOFTWARE, versions
from matplotlib.figure import Figure
import mxnet as mx
import numpy as np

__all__ = ["RESULTS", "environment", "markdown", "parser", "refuse_foreign", "seconds", "write"]

RESULTS = Path(__file__).parents[1] / "results"


class Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help that states each default and keeps the paragraphs of the description."""


def parser(
    description: str, *, rounds: int | None = None, sections: bool = False
) -> argparse.ArgumentParser:
    """The shared options; `rounds` is the default of ``--rounds``, where something is timed."""
    options = argparse.ArgumentParser(description=description, formatter_class=Help)
    if sections:
        options.add_argument(
            "--sections",
            nargs="+",
            choices=list(RECIPES),
            default=list(RECIPES),
            metavar="SECTION",
            help="which to measure",
        )
    if rounds is not None:
        options.add_argument("--rounds", type=int, default=rounds, help="interleaved rounds")
    options.add_argument("--out", type=_folder, default=RESULTS, help="folder for the results")
    return options


def _folder(text: str) -> Path:
    """The folder for ``--out``, if no file of a user's is where the benchmark writes."""
    name = Path(sys.argv[0]).stem
    refuse_foreign(Path(text, f"{name}.{kind}") for kind in ("md", "json", "png"))
    return Path(text)


def refuse_foreign(paths: Iterable[Path]) -> None:
    """End the script if one of these is a user's file. Results of the checkout are in Git."""
    try:
        ownership.refuse_foreign(path for path in paths if RESULTS not in path.resolve().parents)
    except ownership.NotOurs as error:
        sys.exit(f"error: {error}")


def environment() -> dict[str, str]:
    """The variables for a program that chooses its number of threads itself, as this one has."""
    chosen_here = () if runtime.threads_by_user else ("OMP_NUM_THREADS",)
    return {name: value for name, value in os.environ.items() if name not in chosen_here}


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of `work`, including what MXNet computes in the background."""
    mx.nd.waitall()
    start = time.perf_counter()
    work()
    mx.nd.waitall()
    return time.perf_counter() - start


def _without_folders(argument: str) -> str:
    return os.path.basename(argument) if os.path.isabs(argument) else argument


def commit() -> str | None:
    """The commit that is measured, with a + if its code has been changed; None outside of Git."""

    def git(*arguments: str) -> subprocess.CompletedProcess:
        command = ["git", "-C", str(RESULTS.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    try:
        head = git("rev-parse", "--short", "HEAD")
        changed = git("diff", "--quiet", "HEAD", "--", "gluonbook", "benchmarks").returncode
    except OSError:
        return None
    return None if head.returncode else head.stdout.strip() + "+" * changed


def write(
    name: str,
    folder: Path,
    title: str,
    table: str,
    rows: list[dict],
    figure: Figure | None = None,
    commands: Sequence[Sequence[str]] = (),
    measured_here: bool = True,
) -> None:
    """Print the table; write ``<name>.md``, ``<name>.json`` and, if there is one, the figure.

    `commands` are the arguments of each call that made a part of the result; by default there was
    one call, this one. Of an absolute path the last part is told: the rest is of one machine.
    Where the rows were measured elsewhere and tell it themselves, `measured_here` is False.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = "; ".join(
        shlex.join(["python", f"benchmarks/{name}.py", *map(_without_folders, arguments)])
        for arguments in commands or [sys.argv[1:]]
    )
    where, measured = machine.describe(), commit()
    facts: dict[str, object] = {}
    told = f"`{command}`. The table was drawn on {time.strftime('%Y-%m-%d')}"
    if measured_here:
        facts = {"machine": where, "versions": versions(), "commit": measured}
        at = f", commit {measured}" if measured else ""
        told = (
            f"`{command}`, {time.strftime('%Y-%m-%d')}, {where['processor']}, "
            f"{where['cores']} cores, {os.environ.get('OMP_NUM_THREADS')} threads, MXNet "
            f"{mx.__version__}, NumPy {np.__version__}, {SOFTWARE}{at}"
        )
    text = f"# {title}\n\n{table}\n{told}.\n"
    print(text)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    result = {"command": command, **facts, "rows": rows}
    (folder / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if figure is not None:
        save_picture(figure, folder / f"{name}.png")
