"""Writes the pages that come from the chapters, their READMEs and the results.

A page of a section is its chapter as it is now, with what its recorded run printed and showed. The
other pages are parts of the READMEs and of the results. Nothing here is computed or trained.
"""

from __future__ import annotations

import ast
import csv
import json
import os
from pathlib import Path
import re
from typing import Iterable, NamedTuple

import drawings
from gluonbook.recipes import RECIPES
import jupytext
from languages import joined
import nbformat
from sphinx.util import logging

ROOT = Path(__file__).parents[1]
MATHJAX = "mathjax/es5/tex-svg.js"
log = logging.getLogger(__name__)


class Words(NamedTuple):
    """What the pages of one language say besides the text of the chapters and READMEs."""

    folder: str
    """Of the language's pages and chapters, with a slash."""
    language: str
    readme: str
    notebook: str
    script: str
    install: str
    recorded_in_full: str
    recorded: str
    not_recorded: str
    full_run: str
    compared: str
    quantities: tuple[str, ...]
    """Of the columns of results/compare.md, but for the section."""
    quantity: str
    same: str
    more_compared: str
    answer: str
    whole_answer: str
    figures: str
    how_to: str
    how_to_intro: str
    titles: dict[str, str]
    """Of pages whose heading in the README would not say what they are for."""
    comparison: str


ENGLISH = Words(
    folder="",
    language="en",
    readme="README.md",
    notebook="Notebook",
    script="Script",
    install=(
        "This notebook needs the package gluonbook, and runs in the environment that this makes in "
        "a clone of it:"
    ),
    recorded_in_full=(
        "What it printed on {machine}, with the book's numbers. The notebook ran for {minutes} "
        "minutes on {date}, at commit {commit}, with `{options}`."
    ),
    recorded=(
        "What a quick look printed on {machine}, with `{options}`. The notebook ran for {minutes} "
        "minutes on {date}, at commit {commit}."
    ),
    not_recorded=(
        "What this chapter prints has not been recorded yet: "
        "`python benchmarks/record_chapters.py --sections {section}` does it."
    ),
    full_run=(
        "A full run{how}, of {epochs} epochs on all 60,000 images from seed {seed}, reached a test "
        "accuracy of **{test_acc:.3f}**. The book prints {book}."
    ),
    compared=(
        "**Both in numbers.** The net of the PyTorch edition in both libraries, with the same "
        "weights and batches. Differences are relative to the size of the numbers."
    ),
    quantities=(
        *("operations", "parameters"),
        *("outputs, float64", "gradients, float64", "ten steps of training, float64"),
        *("training, images a second: Gluon", "training: PyTorch as written"),
        *("training: fastest PyTorch", "inference, images a second: Gluon"),
        *("inference: fastest PyTorch", "memory: Gluon", "memory: PyTorch as written"),
    ),
    quantity="quantity",
    same=", same",
    more_compared="How this was measured, and all sections",
    answer="Answer: ",
    whole_answer="The whole answer: code, table and picture",
    figures="All figures as JSON",
    how_to="How to",
    how_to_intro="What the scripts and the package can do, one page each.",
    titles={
        "how-to/install": "Install, and a first training",
        "how-to/own-code": "Use it in code of your own",
        "how-to/edit": "Change a chapter",
        "how-to/notebook": "Run a chapter as a notebook",
        "how-to/resume": "Resume a run",
        "how-to/predict-and-export": "Predict and export",
        "how-to/gpu": "Platforms and GPUs",
    },
    comparison="The two editions in numbers",
)
CHINESE = Words(
    folder="zh/",
    language="zh",
    readme="README.zh.md",
    notebook="笔记本",
    script="脚本",
    install="这个笔记本需要 gluonbook。在它的克隆里，下面的命令建好运行它的环境：",
    recorded_in_full=(
        "下面是在{machine}上用书中的超参数训练时打印的结果。笔记本于 {date} 运行了 {minutes} 分钟，"
        "提交 {commit}，选项为 `{options}`。"
    ),
    recorded=(
        "下面是在{machine}上快速训练时打印的结果，选项为 `{options}`。笔记本于 {date} 运行了 "
        "{minutes} 分钟，提交 {commit}。"
    ),
    not_recorded=(
        "这一节的输出还没有记录：`python benchmarks/record_chapters.py --sections {section}` "
        "可以记录它。"
    ),
    full_run=(
        "完整训练{how}：用全部 60,000 张图像训练 {epochs} 个迭代周期（随机种子 {seed}），"
        "测试准确率达到 **{test_acc:.3f}**，书中为 {book}。"
    ),
    compared=(
        "**用数值比较**：PyTorch 版的网络在两个框架中使用相同的权重和批量。差别是相对于数值大小的。"
    ),
    quantities=(
        *("运算", "参数", "输出，float64", "梯度，float64", "十步训练，float64"),
        *("训练，每秒图像数：Gluon", "训练：PyTorch 原样代码", "训练：最快的 PyTorch"),
        *("推断，每秒图像数：Gluon", "推断：最快的 PyTorch"),
        *("内存：Gluon", "内存：PyTorch 原样代码"),
    ),
    quantity="数值",
    same="，相同",
    more_compared="怎样测量，以及其他各节",
    answer="答案：",
    whole_answer="完整的答案：代码、表和图（英文）",
    figures="JSON 格式的全部数值",
    how_to="用法",
    how_to_intro="各节的脚本和这个包能做什么，每页一项。",
    titles={
        "how-to/install": "安装与第一次训练",
        "how-to/predict-and-export": "预测与导出",
        "how-to/gpu": "平台与 GPU",
    },
    comparison="两版的数值比较",
)
LANGUAGES = (ENGLISH, CHINESE)

#: Pages of the parts of chapters/README.md, in its order, and of parts of README.md.
CHAPTERS_PARTS = (
    *("how-to/quick-look", "how-to/notebook", "how-to/edit", "how-to/other-nets"),
    *("exercises/index", "how-to/several-gpus", "how-to/several-machines", "how-to/resume"),
    "how-to/predict-and-export",
)
README_PARTS = {
    **{"how-to/install": 0, "how-to/own-code": 3, "results/index": 5, "comparison": 6},
    "how-to/gpu": 7,
}
#: The drawings of each section's blocks, or of a net without blocks.
DRAWINGS = {
    "lenet": ("lenet",),
    "alexnet": ("alexnet",),
    "vgg": ("vgg_block",),
    "nin": ("nin_block",),
    "googlenet": ("inception",),
    "resnet": ("residual", "residual_1x1"),
    "densenet": ("dense_block", "transition"),
}
#: Of the text, in pixels, less the gaps between drawings.
PAGE_WIDTH = 640
EXERCISES = sorted(
    path.stem for path in (ROOT / "chapters/exercises").glob("*.py") if path.stem != "trial"
)
RESULTS = sorted(
    path.stem for path in (ROOT / "results").glob("*.md") if path.stem not in ("README", "compare")
)


# --- links --------------------------------------------------------------------------------------

#: The page of each file, or folder, or part of a file, of the repository.
PLACES = {
    **{f"chapters/{section}.py": section for section in RECIPES},
    **{f"chapters/zh/{section}.py": f"zh/{section}" for section in RECIPES},
    **{f"chapters/exercises/{name}.py": f"exercises/{name}" for name in EXERCISES},
    **{f"results/exercises/{name}.md": f"exercises/{name}" for name in EXERCISES},
    **{f"results/{name}.md": f"results/{name}" for name in RESULTS},
    **{"results/README.md": "results/index", "results/compare.md": "comparison"},
    **{"chapters": "index", "chapters/zh": "zh/index", "chapters/exercises": "exercises/index"},
    **{"README.md": "index", "README.zh.md": "zh/index"},
    **{"chapters/README.md": "how-to/index", "chapters/README.zh.md": "zh/how-to/index"},
    **{"chapters/README.md#the-exercises": "exercises/index"},
    **{"chapters/README.zh.md#练习": "zh/exercises/index"},
    **{"README.md#the-state-of-mxnet": "how-to/gpu"},
    **{"README.zh.md#mxnet-的现状": "zh/how-to/gpu"},
}
#: Pages with a Chinese twin.
TWINS = {
    *RECIPES,
    *CHAPTERS_PARTS,
    *README_PARTS,
    *("index", "how-to/index", "api/index"),
}
#: Pages that are notebooks.
NOTEBOOKS = {*RECIPES, *(f"zh/{section}" for section in RECIPES)}
NOTEBOOKS |= {f"exercises/{name}" for name in EXERCISES}
_LINK = re.compile(r"\[([^\[\]]*)\]\(([^()\s]+)\)")


def file_of(page: str) -> str:
    return f"{page}.ipynb" if page in NOTEBOOKS else f"{page}.md"


def relative(place: str, page: str) -> str:
    """A place in the docs' folder, as a page names it."""
    return os.path.relpath(place, os.path.dirname(page) or ".").replace(os.sep, "/")


def relinked(text: str, source: str, page: str) -> str:
    """The text of a file of the repository, for a page: its links lead to the site's pages.

    A file without a page is downloaded. What leads to a folder, or to the page itself, is no link.
    """

    def replaced(found: re.Match) -> str:
        words, target = found.groups()
        path, _, part = target.partition("#")
        place = os.path.normpath(os.path.join(os.path.dirname(source), path)) if path else source
        at = PLACES.get(f"{place}#{part}") or PLACES.get(place)
        if page.startswith("zh/") and at in TWINS and f"zh/{at}" != page:
            at = f"zh/{at}"
        if "://" in target or not (at or (ROOT / place).exists()):
            return found.group()
        if at == page or (at is None and (ROOT / place).is_dir()):
            return words
        return f"[{words}]({relative(file_of(at) if at else f'../{place}', page)})"

    return _LINK.sub(replaced, joined(text))


# --- parts of Markdown files --------------------------------------------------------------------


def read(place: str) -> str:
    return (ROOT / place).read_text(encoding="utf-8")


def parts_of(place: str) -> list[str]:
    """The parts of a file below its headings of the second level, which become the first."""
    _, *parts = re.split(r"^## ", read(place), flags=re.MULTILINE)
    shifted = [re.sub(r"^#(##+ )", r"\1", part, flags=re.MULTILINE) for part in parts]
    return [f"# {part.strip()}\n" for part in shifted]


def without_heading(text: str) -> str:
    return re.sub(r"\A# .*\n+", "", text)


def answers(words: Words) -> dict[str, str]:
    """What came out of each exercise, in a sentence of chapters/README.md."""
    rows = (line.split(" | ") for line in read(f"chapters/{words.readme}").splitlines())
    told = {}
    for row in rows:
        script = re.fullmatch(r"\| \[(\w+)\]\(exercises/\w+\.py\)", row[0])
        if script and script[1] in EXERCISES:
            told[script[1]] = re.sub(r" ?\[[^\[]*\]\([^()]*\) \|$", "", row[-1])
    return told


def table_rows(text: str) -> list[list[str]]:
    """The cells of a Markdown table, its heading first."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [rows[0], *(row for row in rows[1:] if not row[0].startswith("---"))]


def table(rows: Iterable[Iterable[str]]) -> str:
    first, *others = (f"| {' | '.join(row)} |\n" for row in rows)
    return f"{first}| --- | ---: |\n{''.join(others)}"


# --- a section ----------------------------------------------------------------------------------


class Recording(NamedTuple):
    """What a chapter left when it ran."""

    facts: dict
    outputs: list[list]
    """Of each code cell."""


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


def is_full(options: str) -> bool:
    """Whether a chapter was run with the book's numbers: no option but the seed."""
    return re.fullmatch(r"--seed \d+", options) is not None


def of_recording(found: Recording | None, section: str, words: Words) -> str:
    """Where and how the printed lines came about."""
    if found is None:
        return f"```{{note}}\n{words.not_recorded.format(section=section)}\n```\n"
    facts, machine = found.facts, found.facts["machine"]
    if facts["device"].startswith("gpu"):
        where = "a GPU" if words is ENGLISH else "一块 GPU "
    elif words is ENGLISH:
        where = f"{machine['cores']} cores ({machine['processor']})"
    else:
        where = f" {machine['cores']} 个核（{machine['processor']}）"
    told = words.recorded_in_full if is_full(facts["options"]) else words.recorded
    return f"*{told.format(**{**facts, 'machine': where})}*\n"


def full_run(section: str, words: Words, page: str) -> str:
    """The curve of a full training of the section, and what it reached; empty where none is."""
    found = sorted((ROOT / "results/reproduce").glob(f"{section}-*seed1-config.json"))
    configs = {path: json.loads(path.read_text()) for path in found}

    def differs(path: Path) -> bool:  # from the book's numbers
        options = configs[path]["options"]
        stable = options.get("recipe", "book") in ("book", "stable")
        return not stable or options["num_epochs"] != RECIPES[section].num_epochs

    chosen = min(
        (path for path in found if not differs(path)), key=lambda path: len(path.name), default=None
    )
    if chosen is None:
        return ""
    options = configs[chosen]["options"]
    how = [f"--recipe {options['recipe']}"] if options.get("recipe", "book") != "book" else []
    how = " ".join([*how, *["--amp"] * options.get("amp", False)])
    name = chosen.name[: -len("config.json")]
    with open(chosen.with_name(f"{name}history.csv"), newline="") as file:
        last = list(csv.DictReader(file))[-1]
    title = f"{RECIPES[section].title}, `{how}`" if how else RECIPES[section].title
    [row] = [row for row in table_rows(read("results/reproduce.md")) if row[0] == title]
    told = words.full_run.format(
        how=(f", `{how}`" if words is ENGLISH else f"（`{how}`）") if how else "",
        epochs=last["epoch"],
        seed=options["seed"],
        test_acc=float(last["test_acc"]),
        book=row[8],
    )
    picture = relative(f"../results/reproduce/{name}curve.png", page)
    return f"{told}\n\n![{RECIPES[section].title}]({picture})\n"


def compared(section: str, words: Words, page: str) -> str:
    """The section's row of results/compare.md, as a table of two columns."""
    rows = table_rows(read("results/compare.md"))
    [row] = [row for row in rows if row[0] == RECIPES[section].title]
    values = (value.replace(ENGLISH.same, words.same) for value in row[1:])
    more = f"[{words.more_compared}]({relative(f'{words.folder}comparison.md', page)})"
    cells = table(
        [(words.quantity, row[0].partition(",")[0]), *zip(words.quantities, values, strict=True)]
    )
    return f"{words.compared}\n\n{cells}\n{more}\n"


PYTORCH_IMPORTS = """\
import gluonbook.pytorch as d2l
import torch
from torch import nn
from torch.nn import functional as F
"""


def pytorch_training(section: str) -> str:
    """The training of the PyTorch text, which has ten epochs in each of these sections."""
    recipe = RECIPES[section]
    resize = "" if recipe.size == 28 else f", resize={recipe.size}"
    return (
        f"net = d2l.{section}()\n"
        f"train_iter, test_iter = d2l.load_data_fashion_mnist({recipe.batch_size}{resize})\n"
        "d2l.train_ch6(\n"
        f"    net, train_iter, test_iter, num_epochs=10, lr={recipe.lr}, device=d2l.try_gpu()\n)\n"
    )


def pytorch_layers(section: str) -> str:
    """The table of layers, as the PyTorch text prints it."""
    size = RECIPES[section].size
    return (
        f"X = torch.rand(1, 1, {size}, {size})\n"
        f"for layer in d2l.{section}():\n"
        "    X = layer(X)\n"
        '    print(layer.__class__.__name__, "output shape:\\t", X.shape)\n'
    )


def in_pytorch(section: str, source: str, is_first: bool) -> str | None:
    """What stands beside a cell in the other tab; None where a cell has no tabs."""
    if is_first:
        return f"```python\n{PYTORCH_IMPORTS}```\n"
    if "gb.train_ch5(" in source:
        return f"```python\n{pytorch_training(section)}```\n"
    if "for layer in net:" in source:
        return f"```python\n{pytorch_layers(section)}```\n"
    body = ast.parse(source).body
    lines = source.splitlines()
    wanted = [
        node.name
        for node in body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        and lines[node.lineno - 1].endswith("# saved in gluonbook")
    ]
    place = f"gluonbook/pytorch/nets/{section}.py"
    theirs = [node.name for node in ast.parse(read(place)).body if hasattr(node, "name")]
    if any(isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "net" for node in body):
        wanted += [section, *(name for name in theirs if name.startswith("_"))]
    return (
        "\n".join(
            f"```{{literalinclude}} /../{place}\n:pyobject: {name}\n```\n"
            for name in theirs
            if name in wanted
        )
        or None
    )


def tabs(gluon: str, pytorch: str) -> str:
    return (
        "::::{tab-set}\n:sync-group: framework\n\n"
        f":::{{tab-item}} Gluon\n:sync: gluon\n\n{gluon}:::\n\n"
        f":::{{tab-item}} PyTorch\n:sync: pytorch\n\n{pytorch}:::\n::::\n"
    )


def printed(outputs: list) -> str:
    """What a cell in a tab printed, below its code."""
    lines = "".join(output.text for output in outputs if output.output_type == "stream")
    return f"```{{code-block}} none\n:class: printed\n\n{lines}```\n" if lines else ""


def drawn(section: str, words: Words, page: str) -> str:
    """The drawings of a section's blocks, side by side, for light and for dark pages."""
    places = {name: f"_drawings/{words.language}/{name}" for name in DRAWINGS[section]}
    # As wide as they are drawn, or as the page has room for, so that all letters have one size.
    widths = {
        name: float(re.search(r' width="([0-9.]+)"', read(f"docs/{place}-light.svg"))[1])
        for name, place in places.items()
    }
    share = min(1, PAGE_WIDTH / sum(widths.values()))
    items = []
    for name, place in places.items():
        title = drawings.WORDS[name][drawings.LANGUAGES.index(words.language)]
        images = "\n".join(
            f"```{{image}} {relative(place, page)}-{theme}.svg\n:class: only-{theme}\n"
            f":width: {share * widths[name]:.0f}px\n:alt: {title}\n```\n"
            for theme in drawings.THEMES
        )
        items.append(f":::{{grid-item}}\n:columns: auto\n\n**{title}**\n\n{images}:::\n")
    return f"::::{{grid}}\n:gutter: 2\n\n{''.join(items)}::::\n"


def with_answers(exercises: str, words: Words, page: str) -> str:
    """The list of a section's exercises, each answer folded below its question."""
    told = answers(words)
    items = re.split(r"^(?=\d+\. )", exercises, flags=re.MULTILINE)
    for i, item in enumerate(items):
        for asked, name in re.findall(r"\[([^\[\]]*)\]\(\S*?exercises/(\w+)\.py\)", item):
            answer = told[name]
            if words is ENGLISH:
                cells = jupytext.read(ROOT / "chapters/exercises" / f"{name}.py").cells
                source = re.sub(r"\A## .*\n+", "", cells[-1].source)
                answer = relinked(source, f"chapters/exercises/{name}.py", page)
            more = f"[{words.whole_answer}]({relative(file_of(f'exercises/{name}'), page)})"
            title = f"{words.answer}{' '.join(asked.split())}"
            folded = f":::{{dropdown}} {title}\n\n{answer}\n\n{more}\n:::"
            indented = "".join(f"   {line}".rstrip() + "\n" for line in folded.splitlines())
            items[i] = f"{items[i].rstrip()}\n\n{indented}\n"
    return "".join(items)


def section_page(section: str, words: Words) -> nbformat.NotebookNode:
    """The chapter, its code in tabs, with what its recorded run printed and showed."""
    page, source = f"{words.folder}{section}", f"chapters/{words.folder}{section}.py"
    cells = jupytext.read(ROOT / source).cells
    found = recording(section, [cell.source for cell in cells if cell.cell_type == "code"])
    outputs = iter(found.outputs if found else ())
    told, number = [], 0
    for i, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            text = cell.source
            if i == 0:
                title, _, rest = text.partition("\n")
                notebook = relative(f"_notebooks/{page}.ipynb", page)
                text = (
                    f"{title}\n\n{{download}}`{words.notebook} <{notebook}>` · "
                    f"{{download}}`{words.script} <{relative(f'../{source}', page)}>`\n{rest}"
                )
            if i == len(cells) - 1:
                summary, _, exercises = text.rpartition("\n## ")
                heading, _, exercises = exercises.partition("\n")
                text = (
                    f"{summary}\n\n{compared(section, words, page)}\n## {heading}\n"
                    f"{with_answers(exercises, words, page)}"
                )
            told.append(nbformat.v4.new_markdown_cell(relinked(text, source, page)))
            continue
        number += 1
        other = in_pytorch(section, cell.source, is_first=number == 1)
        left = next(outputs, [])
        if other is None:
            told.append(nbformat.v4.new_code_cell(cell.source, outputs=left))
        else:
            if number > 1 and not any("_drawings/" in each.source for each in told):
                told.append(nbformat.v4.new_markdown_cell(drawn(section, words, page)))
            gluon = f"```python\n{cell.source}\n```\n\n"
            if "gb.train_ch5(" in cell.source:
                gluon += f"{of_recording(found, section, words)}\n"
            told.append(nbformat.v4.new_markdown_cell(tabs(gluon + printed(left), other)))
        if "args.run.show()" in cell.source and not (found and is_full(found.facts["options"])):
            told.append(nbformat.v4.new_markdown_cell(full_run(section, words, page)))
    return notebook_of(told)


def notebook_of(cells: list[nbformat.NotebookNode]) -> nbformat.NotebookNode:
    """A notebook that is the same each time it is made, of those cells that are not empty."""
    cells = [cell for cell in cells if cell.source.strip() or cell.get("outputs")]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def download(section: str, words: Words) -> nbformat.NotebookNode:
    """A chapter as a notebook that runs where the package is installed, and says how to get it."""
    cells = jupytext.read(ROOT / f"chapters/{words.folder}{section}.py").cells
    first = nbformat.v4.new_markdown_cell(
        f"{words.install}\n\n```bash\npython3 -m venv .venv\n"
        ".venv/bin/pip install -e '.[cpu,notebook]'\n```"
    )
    return notebook_of([first, *cells])


# --- the other pages ----------------------------------------------------------------------------


def exercise_page(name: str) -> nbformat.NotebookNode:
    """An exercise's question, code and answer, with the recorded table and picture."""
    source, page = f"chapters/exercises/{name}.py", f"exercises/{name}"
    cells = jupytext.read(ROOT / source).cells
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = relinked(cell.source, source, page)
    result = relinked(without_heading(read(f"results/exercises/{name}.md")), source, page)
    title, _, _ = cells[0].source.partition("\n")
    picture = f"![{title.lstrip('# ')}](../../results/exercises/{name}.png)"
    script = f"{{download}}`{ENGLISH.script} <../../{source}>`"
    figures = f"{{download}}`{ENGLISH.figures} <../../results/exercises/{name}.json>`"
    shown = nbformat.v4.new_markdown_cell(f"{result}\n{picture}\n\n{script} · {figures}\n")
    return notebook_of([*cells[:-1], shown, cells[-1]])


def result_page(name: str) -> str:
    """A result that is more than the overview shows."""
    text = relinked(read(f"results/{name}.md"), f"results/{name}.md", f"results/{name}")
    picture = ROOT / "results" / f"{name}.png"
    if picture.exists():
        title = without_markup(text.partition("\n")[0])
        text += f"\n![{title}](../../results/{name}.png)\n"
    if picture.with_suffix(".json").exists():
        text += f"\n{{download}}`{ENGLISH.figures} <../../results/{name}.json>`\n"
    return text


def without_markup(heading: str) -> str:
    return heading.lstrip("# ").replace("`", "")


def toctree(pages: Iterable[str], hidden: bool = False) -> str:
    option = ":hidden:\n" if hidden else ""
    listed = "".join(f"{page}\n" for page in pages)
    return f"```{{toctree}}\n{option}:maxdepth: 1\n\n{listed}```\n"


def parts(words: Words) -> dict[str, str]:
    """The pages that are parts of the READMEs."""
    pages = {}
    place = f"chapters/{words.readme}"
    for page, text in zip(CHAPTERS_PARTS, parts_of(place), strict=True):
        pages[page] = relinked(text, place, f"{words.folder}{page}")
    found = parts_of(words.readme)
    for page, number in README_PARTS.items():
        # The last line of the README leads to pages for those who carry on.
        text = re.sub(r"^\[.*CONTRIBUTING.*\Z", "", found[number], flags=re.MULTILINE | re.DOTALL)
        pages[page] = relinked(text, words.readme, f"{words.folder}{page}")
    table_of_all = relinked(
        read("results/compare.md"), "results/compare.md", f"{words.folder}comparison"
    )
    picture = relative("../results/compare/resnet.png", f"{words.folder}comparison")
    pages["comparison"] += f"\n## {words.comparison}\n\n{table_of_all}\n![ResNet-18]({picture})\n"
    for page, title in words.titles.items():
        pages[page] = f"# {title}\n\n{without_heading(pages[page])}"
    how_to = [page for page in (*README_PARTS, *CHAPTERS_PARTS) if page.startswith("how-to/")]
    how_to.sort(key=lambda page: page == "how-to/gpu")  # which is for few readers
    listed = toctree(page.partition("/")[2] for page in how_to)
    pages["how-to/index"] = f"# {words.how_to}\n\n{words.how_to_intro}\n\n{listed}"
    if words is ENGLISH:
        overview = relinked(
            without_heading(read("results/README.md")), "results/README.md", "results/index"
        )
        pages["results/index"] += f"\n{overview}\n{toctree(RESULTS, hidden=True)}"
        pages["exercises/index"] += f"\n{toctree(EXERCISES, hidden=True)}"
    return {f"{words.folder}{page}": text for page, text in pages.items()}


def made() -> dict[str, str]:
    """All files that a build makes, by their place in the docs' folder."""
    notebooks: dict[str, nbformat.NotebookNode] = {}
    files: dict[str, str] = {}
    for words in LANGUAGES:
        for section in RECIPES:
            notebooks[f"{words.folder}{section}.ipynb"] = section_page(section, words)
            notebooks[f"_notebooks/{words.folder}{section}.ipynb"] = download(section, words)
        files.update({file_of(page): text for page, text in parts(words).items()})
    notebooks.update({f"exercises/{name}.ipynb": exercise_page(name) for name in EXERCISES})
    files.update({f"results/{name}.md": result_page(name) for name in RESULTS})
    files.update({place: nbformat.writes(each) for place, each in notebooks.items()})
    return files


def write(folder: Path) -> None:
    """Write the files that have changed, so that Sphinx reads no other, and remove old ones."""
    for words in LANGUAGES:
        drawings.draw_all(folder / "_drawings", words.language)
    files = {folder / place: text for place, text in made().items()}
    made_folders = {path.parent for path in files} - {folder, folder / "zh"}
    old = {path for each in made_folders if each.is_dir() for path in each.iterdir()}
    for path in old - files.keys() - made_folders:
        path.unlink()
    for path, text in files.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
