"""Draw the sections' blocks as SVG from their traced operations, for light and for dark pages.

Run as ``python docs/drawings.py``, or call `draw_all`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Sequence, Union

from canvas import RADIUS, THEMES, Canvas, Point, text_width
from gluonbook import nets
from gluonbook.nets.googlenet import INCEPTION_3
from gluonbook.operations import Op, gluon_ops
from gluonbook.operations.ops import once

#: Block or net, and the shape of its input: those of the sections' nets.
DRAWINGS = {
    "residual": (partial(nets.Residual, 64), (1, 64, 24, 24)),
    "residual_1x1": (partial(nets.Residual, 128, True, strides=2), (1, 64, 24, 24)),
    "inception": (partial(nets.Inception, *INCEPTION_3[0]), (1, 192, 12, 12)),
    "dense_block": (partial(nets.DenseBlock, 2, 32), (1, 64, 24, 24)),
    "transition": (partial(nets.transition_block, 96), (1, 192, 24, 24)),
    "nin_block": (partial(nets.nin_block, 96, 11, 4, 0), (1, 1, 224, 224)),
    "vgg_block": (partial(nets.vgg_block, 2, 64), (1, 32, 56, 56)),
    "lenet": (nets.lenet, (1, 1, 28, 28)),
    "alexnet": (nets.alexnet, (1, 1, 224, 224)),
}

LANGUAGES = ("en", "zh")
#: In each language: titles of the drawings, and names of operations and settings, where {} stands
#: for a kernel's size or a setting's value.
WORDS = {
    "residual": ("Residual block", "残差块"),
    "residual_1x1": ("Residual block with a 1×1 convolution", "含 1×1 卷积层的残差块"),
    "inception": ("Inception block", "Inception 块"),
    "dense_block": ("Dense block of two convolutions", "含两个卷积层的稠密块"),
    "transition": ("Transition layer", "过渡层"),
    "nin_block": ("NiN block", "NiN 块"),
    "vgg_block": ("VGG block", "VGG 块"),
    "lenet": ("LeNet", "LeNet"),
    "alexnet": ("AlexNet", "AlexNet"),
    "conv": ("{} convolution", "{} 卷积层"),
    "dense": ("dense layer", "全连接层"),
    "batch norm": ("batch norm", "批量归一化"),
    "relu": ("ReLU", "ReLU"),
    "max pool": ("{} max pooling", "{} 最大池化层"),
    "average pool": ("{} average pooling", "{} 平均池化层"),
    "global average pool": ("global average pooling", "全局平均池化层"),
    "dropout": ("dropout", "丢弃法"),
    "concat": ("concatenate", "在通道维上连结"),
    "channels": ("{} channels", "{} 个通道"),
    "units": ("{} outputs", "{} 个输出"),
    "stride": ("stride {}", "步幅 {}"),
    "padding": ("pad {}", "填充 {}"),
    "rate": ("rate {}", "概率 {}"),
    "comma": (", ", "，"),
    "input": ("input: {}", "输入：{}"),
    "output": ("output: {}", "输出：{}"),
}
#: Settings that a box names, and the values that go without saying.
SETTINGS = {"channels": None, "units": None, "stride": 1, "padding": 0, "rate": None}

ACTIVATIONS, LAYERS = ("relu", "sigmoid"), ("conv", "dense")

# In pixels: above a box, above a fork, between a layer and its activation.
ARROW, STEM, ATTACHED = 24, 14, 3
# Between columns, around a line, around the drawing.
COLUMN_GAP, LINE_MARGIN, MARGIN = 16, 18, 8

Item = Union[Op, "Split"]


class Split(NamedTuple):
    """Paths that begin in one place, and the operation that joins them."""

    join: Op
    paths: Sequence[Sequence[Item]]


def split(ops: list[Op]) -> list[Item]:
    """The operations as a chain, in which paths beside one another are a `Split`.

    Raises
    ------
    ValueError
        If paths cross.
    """
    ops = _nested(ops)
    before = {-1: {-1}}  # of each operation: itself, and all that it needs
    for i, op in enumerate(ops):
        before[i] = {i}.union(*(before[source] for source in op.inputs))
    seen = []

    def chain(start: int, end: int) -> list[Item]:
        items: list[Item] = []
        while end > start:
            op = ops[end]
            seen.append(op)
            fork = max(set.intersection(*(before[source] for source in op.inputs)))
            paths = [chain(fork, source) for source in op.inputs]
            items.append(Split(op, paths) if len(paths) > 1 else op)
            end = fork
        return items[::-1]

    items = chain(-1, len(ops) - 1)
    if len(seen) != len(ops):
        raise ValueError("the net cannot be drawn, because its paths cross")
    return items


def _nested(ops: list[Op]) -> list[Op]:
    """Each concat with an earlier one as its input, where it lists the inputs of that one."""
    nested = list(ops)
    for i, op in enumerate(ops):
        for j, part in enumerate(ops[:i]):
            n, alike = len(part.inputs), (op.kind, op.settings) == (part.kind, part.settings)
            if alike and op.kind == "concat" and op.inputs[:n] == part.inputs:
                nested[i] = replace(op, inputs=(j, *op.inputs[n:]))
    return nested


def draw(ops: list[Op], input_shape: Sequence[int], title: str, lang: str, theme: str) -> str:
    """The drawing of a net as an SVG document, its background transparent.

    Parameters
    ----------
    ops
        What `gluonbook.operations.gluon_ops` gives for the net and `input_shape`.
    input_shape
        (N, C, H, W).
    title
        What a screen reader says.
    lang
        ``"en"`` or ``"zh"``.
    theme
        ``"light"`` or ``"dark"``.

    Raises
    ------
    ValueError
        If paths of the net cross.
    """
    chain, layout = split(ops), _Layout(ops, input_shape, lang, Canvas(title, theme))
    ends = [
        layout.words[end].format("×".join(map(str, shape[1:])))
        for end, shape in (("input", input_shape), ("output", ops[-1].shape))
    ]
    canvas = layout.canvas
    canvas.write(ends[0], (0, MARGIN + 8))
    start = MARGIN + 18
    bottom = start + layout.height(chain) + ARROW
    canvas.line(*layout.place(chain, 0, start, [(0, start)]), (0, bottom))
    canvas.write(ends[1], (0, bottom + 10))
    least = max(text_width([end]) for end in ends) / 2
    left, right = (max(least, side) + MARGIN for side in layout.sides(chain))
    return canvas.document(-left, right, bottom + 18 + MARGIN)


class _Layout:
    """Measures chains and places them on a canvas, from the top down."""

    def __init__(
        self, ops: list[Op], input_shape: Sequence[int], lang: str, canvas: Canvas
    ) -> None:
        self.words = {key: words[LANGUAGES.index(lang)] for key, words in WORDS.items()}
        self.shapes = {-1: input_shape, **{i: op.shape for i, op in enumerate(ops)}}
        self.canvas = canvas
        boxes = [self.texts(op) for op in ops if op.kind not in ("add", "concat")]
        self.box_width = max(map(text_width, boxes)) + 20

    def texts(self, op: Op) -> list[str]:
        """What a box says: its name, and below it its settings if there are any to name."""
        kernel = "×".join(map(str, op.settings.get("kernel", ())))
        name = self.words.get(op.kind, op.kind).format(kernel)
        details = [
            self.words[key].format(once(op.settings[key]))
            for key, usual in SETTINGS.items()
            if key in op.settings and once(op.settings[key]) != usual
        ]
        if op.kind == "concat":
            parts = [self.shapes[source][op.settings["axis"]] for source in op.inputs]
            total = self.words["channels"].format(sum(parts))
            details = [f"{' + '.join(map(str, parts))} = {total}"]
        return [name, self.words["comma"].join(details)] if details else [name]

    def sides(self, chain: Sequence[Item]) -> tuple[float, float]:
        """How far a chain reaches to the left and to the right; an empty one is a line."""
        half = self.box_width / 2
        reach = [self.columns(i)[1:] if isinstance(i, Split) else (half, half) for i in chain]
        lefts, rights = zip(*reach or [(LINE_MARGIN, LINE_MARGIN)])
        return max(lefts), max(rights)

    def columns(self, item: Split) -> tuple[list[float], float, float]:
        """Where each path stands, and how far all of them reach to the left and to the right.

        Of two paths, the first that has operations stands at 0; of more, their middle.
        """
        places: dict[int, float] = {}
        end = -COLUMN_GAP
        for i in sorted(range(len(item.paths)), key=lambda i: not item.paths[i]):  # lines last
            left, right = self.sides(item.paths[i])
            places[i] = end + COLUMN_GAP + left
            end = places[i] + right
        middle = min(places.values()) if len(places) == 2 else end / 2
        return [places[i] - middle for i in sorted(places)], middle, end - middle

    def rows(self, chain: Sequence[Item]) -> list[tuple[float, float, Item]]:
        """Each item with the room above it, and its own height."""
        rows: list[tuple[float, float, Item]] = []
        for above, item in zip([None, *chain], chain):
            if isinstance(item, Split):
                paths = max(map(self.height, item.paths))
                rows.append((STEM, paths + ARROW + _join_height(item.join), item))
            elif item.kind in ACTIVATIONS and isinstance(above, Op) and above.kind in LAYERS:
                rows.append((ATTACHED, 22, item))
            else:
                rows.append((ARROW, 16 + 14 * len(self.texts(item)), item))
        return rows

    def height(self, chain: Sequence[Item]) -> float:
        return sum(above + height for above, height, _ in self.rows(chain))

    def place(
        self, chain: Sequence[Item], x: float, y: float, line: list[Point], spare: float = 0
    ) -> list[Point]:
        """Draw a chain below `y`, to which `line` leads; the line that leads on.

        Room to spare goes between the items, or around the only one.
        """
        rows = self.rows(chain)
        inner = sum(above != ATTACHED for above, _, _ in rows) - 1
        for i, (above, height, item) in enumerate(rows):
            if i == 0:
                y += 0 if inner else spare / 2
            elif above != ATTACHED:
                y += spare / inner
            top, y = y + above, y + above + height
            if isinstance(item, Split):
                self.canvas.line(*line, (x, top), head=False)
                self.place_paths(item, x, top, y)
            else:
                if above != ATTACHED:
                    self.canvas.line(*line, (x, top))
                corner, size = (x - self.box_width / 2, top), (self.box_width, height)
                self.canvas.box(item.kind, self.texts(item), corner, size)
            line = [(x, y)]
        return line

    def place_paths(self, item: Split, x: float, top: float, bottom: float) -> None:
        height = _join_height(item.join)
        join = bottom - height
        columns, left, right = self.columns(item)
        for path, column in zip(item.paths, columns):
            line = [(x, top), (x + column, top)] if column else [(x, top)]
            spare = join - ARROW - top - self.height(path)
            line = self.place(path, x + column, top, line, spare)
            if item.join.kind == "add" and column:
                line += [(x + column, join + RADIUS), (x + RADIUS, join + RADIUS)]
            else:
                line += [(x + column, join)]
            self.canvas.line(*line)
        self.canvas.dot((x, top))
        if item.join.kind == "add":
            self.canvas.plus("add", (x, join + RADIUS))
        else:
            texts = self.texts(item.join)
            self.canvas.box(item.join.kind, texts, (x - left, join), (left + right, height))


def _join_height(join: Op) -> float:
    return 2 * RADIUS if join.kind == "add" else 44


def draw_all(folder: Path, lang: str) -> list[Path]:
    """Draw all of `DRAWINGS` as ``folder/lang/NAME-light.svg`` and ``-dark.svg``; these paths.

    `lang` is ``"en"`` or ``"zh"``. A file that would not change is left alone, so that Sphinx
    does not read its pages again.
    """
    paths = []
    (Path(folder) / lang).mkdir(parents=True, exist_ok=True)
    for name, (make, input_shape) in DRAWINGS.items():
        ops = gluon_ops(make(), input_shape)
        for theme in THEMES:
            path = Path(folder) / lang / f"{name}-{theme}.svg"
            svg = draw(ops, input_shape, WORDS[name][LANGUAGES.index(lang)], lang, theme)
            if not path.is_file() or path.read_text(encoding="utf-8") != svg:
                path.write_text(svg, encoding="utf-8")
            paths.append(path)
    return paths


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lang", choices=LANGUAGES, nargs="+", default=LANGUAGES)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "_drawings")
    args = parser.parse_args(argv)
    for lang in args.lang:
        draw_all(args.out, lang)


if __name__ == "__main__":
    main()
