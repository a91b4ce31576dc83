"""The exercises: each answer folded below its question, and a page of the whole of it."""

from __future__ import annotations

import re

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from .links import relative, relinked
from .markdown import without_heading
from .notebooks import cells_of, notebook_of
from .repository import EXERCISES, read
from .site_map import file_of
from .wording import ENGLISH, Words


def with_answers(exercises: str, words: Words, page: str) -> str:
    """The list of a section's exercises, each answer folded below its question."""
    items = re.split(r"^(?=\d+\. )", exercises, flags=re.MULTILINE)
    return "".join(with_folded_answers(item, words, page) for item in items)


def with_folded_answers(item: str, words: Words, page: str) -> str:
    """One exercise, with the answers to all that it asks."""
    for asked, name in re.findall(r"\[([^\[\]]*)\]\(\S*?exercises/(\w+)\.py\)", item):
        more = f"[{words.whole_answer}]({relative(file_of(f'exercises/{name}'), page)})"
        title = f"{words.answer}{' '.join(asked.split())}"
        folded = f":::{{dropdown}} {title}\n\n{answer(name, words, page)}\n\n{more}\n:::"
        indented = "".join(f"   {line}".rstrip() + "\n" for line in folded.splitlines())
        item = f"{item.rstrip()}\n\n{indented}\n"
    return item


def answer(name: str, words: Words, page: str) -> str:
    """What came out of an exercise: in English its last cell, in Chinese a sentence."""
    if words is not ENGLISH:
        return sentences(words)[name]
    source = f"chapters/exercises/{name}.py"
    return relinked(without_heading(cells_of(source)[-1].source), source, page)


def sentences(words: Words) -> dict[str, str]:
    """What came out of each exercise, from the table of the chapters' README."""
    rows = (line.split(" | ") for line in read(f"chapters/{words.readme}").splitlines())
    told = {}
    for row in rows:
        script = re.fullmatch(r"\| \[(\w+)\]\(exercises/\w+\.py\)", row[0])
        if script and script[1] in EXERCISES:
            told[script[1]] = re.sub(r" ?\[[^\[]*\]\([^()]*\) \|$", "", row[-1])
    return told


def exercise_page(name: str) -> NotebookNode:
    """An exercise's question, code and answer, with the recorded table and picture."""
    source, page = f"chapters/exercises/{name}.py", f"exercises/{name}"
    cells = cells_of(source)
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = relinked(cell.source, source, page)
    *asked, answered = cells
    title = cells[0].source.partition("\n")[0].lstrip("# ")
    return notebook_of([*asked, new_markdown_cell(recorded(name, title, page)), answered])


def recorded(name: str, title: str, page: str) -> str:
    """What the exercise's recorded run left, and its downloads."""
    source = f"results/exercises/{name}.md"
    picture = f"![{title}](../../results/exercises/{name}.png)"
    script = f"{{download}}`{ENGLISH.script} <../../chapters/exercises/{name}.py>`"
    figures = f"{{download}}`{ENGLISH.figures} <../../results/exercises/{name}.json>`"
    told = relinked(without_heading(read(source)), source, page)
    return f"{told}\n{picture}\n\n{script} · {figures}\n"
