"""The recorded run of each chapter: what it printed, and on which machine."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode
from sphinx.util import logging

from .repository import ROOT
from .wording import ENGLISH, Words

log = logging.getLogger(__name__)


class Recording(NamedTuple):
    """What a chapter left when it ran."""

    facts: dict[str, Any]
    outputs: list[list[NotebookNode]]
    """Of each code cell."""

    @property
    def is_full(self) -> bool:
        """Whether the chapter was run with the book's numbers: no option but the seed."""
        return re.fullmatch(r"--seed \d+", self.facts["options"]) is not None


def recording(section: str, code: list[str]) -> Recording | None:
    """The recorded run of a chapter, if there is one of this code."""
    path = ROOT / "results" / "chapters" / f"{section}.ipynb"
    if not path.exists():
        return None
    notebook = nbformat.read(path, as_version=4)
    if [cell.source for cell in notebook.cells] != code:
        log.warning("%s is of another code than the chapter's: record it anew", path.name)
        return None
    return Recording(notebook.metadata["gluonbook"], [cell.outputs for cell in notebook.cells])


def caption(found: Recording | None, section: str, words: Words) -> str:
    """Where and how the printed lines came about, or how to record them."""
    if found is None:
        return f"```{{note}}\n{words.not_recorded.format(section=section)}\n```\n"
    told = words.recorded_in_full if found.is_full else words.recorded
    return f"*{told.format(**{**found.facts, 'machine': machine(found.facts, words)})}*\n"


def machine(facts: dict[str, Any], words: Words) -> str:
    """The machine of a run, in the words of a sentence."""
    if facts["device"].startswith("gpu"):
        gpus = ", ".join(facts["gpus"])
        return gpus if words is ENGLISH else f" {gpus} "
    cores, processor = facts["machine"]["cores"], facts["machine"]["processor"]
    return f"{cores} cores ({processor})" if words is ENGLISH else f" {cores} 个核（{processor}）"


def printed(outputs: list[NotebookNode]) -> str:
    """What a cell in a tab printed, to stand below its code."""
    lines = "".join(output.text for output in outputs if output.output_type == "stream")
    return f"```{{code-block}} none\n:class: printed\n\n{lines}```\n" if lines else ""
