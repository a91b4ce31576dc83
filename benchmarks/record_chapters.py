"""Run chapters as notebooks, and keep what they print and show for the site.

By default a chapter gets the options of its quick look, with ``--full`` those of the book, and with
``--options`` any others. What is kept is ``chapters/NAME.ipynb`` in the folder of the results: the
chapter's code with the lines and pictures that came out, and in its metadata the machine, the
commit, the options and the minutes. The site shows these beside the chapter's text.

Of a training in full the figures are also kept where benchmarks/reproduce.py keeps them;
`python benchmarks/reproduce.py` then draws its table anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
import shlex
import sys
import tempfile
import time

from gluonbook.recipes import QUICK_LOOKS, RECIPES
from gluonbook.system import files
import jupytext
from nbclient import NotebookClient
import nbformat
import reproduce

import results

CHAPTERS = results.RESULTS.parent / "chapters"
#: Runs before the chapter: its own call of `arguments` then takes these options too.
FIRST_CELL = """\
from functools import partial
import gluonbook.cli
gluonbook.cli.arguments = partial(gluonbook.cli.arguments, argv={argv})
"""


def options_of(section: str, full: bool, given: str | None, seed: int) -> list[str]:
    """What a chapter is run with, but for the place of its run.

    A recipe of the trainer's is no option of a chapter, so without ``--full`` or ``--options``
    a section whose quick look has one is refused.
    """
    chosen = given if given is not None else "" if full else QUICK_LOOKS[section]
    options = shlex.split(chosen)
    if "--recipe" in options:
        sys.exit(
            f"error: the quick look of {section} trains by a recipe, which a chapter does not "
            "take: use --full or --options"
        )
    return [*options, "--seed", str(seed)]


def execute(section: str, options: list[str], folder: Path) -> nbformat.NotebookNode:
    """The chapter's cells after they ran in `folder`, which holds its run then."""
    notebook = jupytext.read(CHAPTERS / f"{section}.py")
    first = nbformat.v4.new_code_cell(FIRST_CELL.format(argv=options))
    notebook.cells.insert(0, first)
    client = NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    client.execute(env=results.environment())
    notebook.cells.remove(first)
    return notebook


def kept_outputs(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The lines that a cell printed, as one output, and the pictures that it showed.

    The value of a cell is left out: that of the training would be its curve a second time.
    """
    lines = "".join(
        output.text
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
    )
    kept = [nbformat.v4.new_output("stream", name="stdout", text=lines)] if lines else []
    for output in cell.outputs:
        if output.output_type == "display_data" and "image/png" in output.data:
            data = {"image/png": output.data["image/png"]}
            kept.append(nbformat.v4.new_output("display_data", data=data))
    return kept


def recorded(executed: nbformat.NotebookNode, facts: dict[str, object]) -> nbformat.NotebookNode:
    """The code cells of a chapter that ran, each with its outputs, and `facts` as metadata."""
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    cells = [
        nbformat.v4.new_code_cell(cell.source, outputs=kept_outputs(cell), id=f"code-{number}")
        for number, cell in enumerate(code, 1)
    ]
    metadata = {"language_info": {"name": "python"}, "gluonbook": facts}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def record(section: str, options: list[str], kept: Path | None) -> nbformat.NotebookNode:
    """Run a chapter in a folder of its own, and return what is kept of it.

    `kept` is where the run's figures are kept too, or None.
    """
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        executed = execute(section, options, Path(folder))
        minutes = (time.perf_counter() - start) / 60
        [path] = Path(folder, "runs").glob("*/config.json")
        config = json.loads(path.read_text(encoding="utf-8"))
        if kept is not None:
            reproduce.keep(path.parent, kept)
    facts = {
        **{"section": section, "options": shlex.join(options), "minutes": round(minutes, 1)},
        **{"date": time.strftime("%Y-%m-%d"), "commit": results.commit()},
        **{
            name: config[name]
            for name in ("device", "gpus", "machine", "versions")
            if name in config
        },
    }
    return recorded(executed, facts)


def main() -> None:
    parser = results.parser(__doc__, sections=True)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--full", action="store_true", help="all images and epochs, as in the book")
    how.add_argument("--options", help="of the chapters, as one argument")
    parser.add_argument("--seed", type=int, default=1, help="of the initial weights")
    arguments = parser.parse_args()
    folder = arguments.out / "chapters"
    paths = {section: folder / f"{section}.ipynb" for section in arguments.sections}
    results.refuse_foreign(paths.values())
    options = {
        section: options_of(section, arguments.full, arguments.options, arguments.seed)
        for section in paths
    }
    folder.mkdir(parents=True, exist_ok=True)
    kept = arguments.out / "reproduce" if arguments.full else None
    if kept is not None:
        kept.mkdir(exist_ok=True)
        results.refuse_foreign(
            path for section in paths for path in kept.glob(f"{section}*-seed{arguments.seed}-*")
        )
    for section, path in paths.items():
        notebook = record(section, options[section], kept)
        with files.replacing(path) as scratch:
            nbformat.write(notebook, os.fspath(scratch))
        facts = notebook.metadata["gluonbook"]
        print(f"{RECIPES[section].title}: {facts['minutes']} minutes, {os.path.relpath(path)}")


if __name__ == "__main__":
    main()
