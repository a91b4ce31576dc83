"""What the pages say besides the text of the chapters and READMEs, in each language."""

from __future__ import annotations

from typing import NamedTuple


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
    reached: tuple[str, str, str]
    """Of the columns of the front page's table."""
    no_full_run: str


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
    reached=("net", "test accuracy", "in the book"),
    no_full_run="no full run yet",
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
    reached=("网络", "测试准确率", "书中"),
    no_full_run="尚未完整训练",
)
LANGUAGES = (ENGLISH, CHINESE)
