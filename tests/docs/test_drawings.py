"""The drawings of the blocks: what the papers' figures show, readable on light and dark pages."""

from __future__ import annotations

from collections import Counter
import importlib
import itertools
import os
from pathlib import Path
from xml.etree import ElementTree as ET

from gluonbook import nets
from gluonbook.operations import gluon_ops
from matplotlib import font_manager
from mxnet.gluon import nn
from PIL import ImageFont
import pytest

SVG = "{http://www.w3.org/2000/svg}"
#: What stands in each drawing, counted in the papers: figure 2 of ResNet's, with the book's 1×1
#: convolution; figure 2b of GoogLeNet's; equation 2 of DenseNet's, for two layers; section 3.1 of
#: NiN's; table 1 of VGG's; and, for LeNet and AlexNet, in the sections' tables of layers.
OPERATIONS = {
    "residual": {"conv": 2, "batch norm": 2, "relu": 2, "add": 1},
    "residual_1x1": {"conv": 3, "batch norm": 2, "relu": 2, "add": 1},
    "inception": {"conv": 6, "relu": 6, "max pool": 1, "concat": 1},
    "dense_block": {"batch norm": 2, "relu": 2, "conv": 2, "concat": 2},
    "transition": {"batch norm": 1, "relu": 1, "conv": 1, "average pool": 1},
    "nin_block": {"conv": 3, "relu": 3},
    "vgg_block": {"conv": 2, "relu": 2, "max pool": 1},
    "lenet": {"conv": 2, "max pool": 2, "dense": 3, "sigmoid": 4},
    "alexnet": {"conv": 5, "max pool": 3, "dense": 3, "relu": 7, "dropout": 2},
}
#: Backgrounds of Sphinx's book theme, and of the theme under it.
PAGES = {"light": ("#ffffff",), "dark": ("#121212", "#14181e")}


@pytest.fixture(scope="module")
def drawings():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "docs"))
        yield importlib.import_module("drawings")


@pytest.fixture(scope="module")
def folder(drawings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawings")
    for lang in ("en", "zh"):
        drawings.draw_all(folder, lang)
    return folder


@pytest.fixture(params=itertools.product(OPERATIONS, ("en", "zh")), ids="-".join)
def both(request, folder):
    """The drawing for light pages and that for dark pages."""
    name, lang = request.param
    paths = {theme: folder / lang / f"{name}-{theme}.svg" for theme in PAGES}
    return {theme: ET.parse(path).getroot() for theme, path in paths.items()}


def drawn(drawings, net, shape, lang="en"):
    return ET.fromstring(drawings.draw(gluon_ops(net, shape), shape, "a net", lang, "light"))


def operations(root):
    return Counter(group.get("data-op") for group in root.iter(f"{SVG}g"))


def texts(root):
    return [element.text for element in root.iter(f"{SVG}text")]


def rectangles(root):
    """Left, top, right and bottom of each box, with the texts in it."""
    found = []
    for group in root.iter(f"{SVG}g"):
        for box in group.iter(f"{SVG}rect"):
            x, y, width, height = (float(box.get(key)) for key in ("x", "y", "width", "height"))
            found.append(((x, y, x + width, y + height), list(group.iter(f"{SVG}text"))))
    return found


def lines(root):
    """The points of each line: a round corner counts as its corner."""
    for path in root.findall(f"{SVG}path[@fill='none']"):
        numbers = [float(word) for word in "".join(map(_space, path.get("d"))).split()]
        yield list(zip(numbers[::2], numbers[1::2]))


def _space(letter):
    return " " if letter.isalpha() else letter


def contrast(one, other):
    """WCAG 2.2's contrast ratio of two colours, from 1 to 21."""
    levels = []
    for colour in (one, other):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        levels.append(sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear)) + 0.05)
    return max(levels) / min(levels)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("theme", PAGES)
def test_each_operation_of_the_figure_is_drawn_once(folder, name, lang, theme):
    root = ET.parse(folder / lang / f"{name}-{theme}.svg").getroot()
    assert operations(root) == OPERATIONS[name]


def test_every_drawing_is_of_the_list_above(drawings):
    assert set(drawings.DRAWINGS) == set(OPERATIONS)


@pytest.mark.parametrize(
    ("name", "lang", "expected"),
    [
        ("residual", "en", ["input: 64×24×24", "3×3 convolution", "64 channels, pad 1", "ReLU"]),
        ("residual_1x1", "en", ["1×1 convolution", "128 channels, stride 2", "output: 128×12×12"]),
        ("residual_1x1", "zh", ["1×1 卷积层", "128 个通道，步幅 2", "批量归一化"]),
        # Table 1 of the paper on GoogLeNet, row 3a.
        ("inception", "en", ["5×5 convolution", "64 + 128 + 32 + 32 = 256 channels"]),
        ("inception", "zh", ["3×3 最大池化层", "在通道维上连结", "输出：256×12×12"]),
        ("dense_block", "en", ["64 + 32 = 96 channels", "96 + 32 = 128 channels"]),
        ("transition", "zh", ["2×2 平均池化层", "步幅 2", "输入：192×24×24"]),
        ("nin_block", "en", ["11×11 convolution", "96 channels, stride 4", "output: 96×54×54"]),
        ("lenet", "zh", ["全连接层", "84 个输出", "输出：10"]),
        ("alexnet", "en", ["dense layer", "4096 outputs", "dropout", "rate 0.5", "output: 10"]),
    ],
)
def test_boxes_say_kernels_channels_and_shapes(folder, name, lang, expected):
    assert set(expected) <= set(texts(ET.parse(folder / lang / f"{name}-light.svg").getroot()))


def test_a_kernels_boxes_are_as_many_as_in_figure_2b(folder):
    found = Counter(texts(ET.parse(folder / "en" / "inception-light.svg").getroot()))
    names = ("1×1 convolution", "3×3 convolution", "5×5 convolution", "3×3 max pooling")
    assert [found[name] for name in names] == [4, 1, 1, 1]


def test_the_drawing_follows_a_changed_block(drawings):
    shape = (1, 8, 6, 6)
    three = drawn(drawings, nets.DenseBlock(3, 4), shape)
    assert operations(three) == {"batch norm": 3, "relu": 3, "conv": 3, "concat": 3}
    assert "16 + 4 = 20 channels" in texts(three)

    class Wider(nets.Residual):
        def __init__(self):
            super().__init__(8)
            self.conv1 = nn.Conv2D(8, kernel_size=5, padding=2)

        def hybrid_forward(self, F, x):
            return F.sigmoid(super().hybrid_forward(F, x))

    wider = drawn(drawings, Wider(), shape)
    assert operations(wider) == {**OPERATIONS["residual"], "sigmoid": 1}
    assert {"5×5 convolution", "8 channels, pad 2"} <= set(texts(wider))
    assert list(rectangles(wider))[-1][1][0].text == "sigmoid"


class _Path(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.convs = nn.HybridSequential()
        self.convs.add(*(nn.Conv2D(8, 1) for _ in range(3)))

    def hybrid_forward(self, F, x):
        first, second, third = self.convs
        x = first(x)
        return F.tanh(x + second(x) * third(x))


class _Crossing(_Path):
    def hybrid_forward(self, F, x):
        first, second, third = self.convs
        a, b = first(x), second(x)
        return third(a) + (a + b)


def test_paths_within_paths_and_operations_without_a_word_are_drawn(drawings):
    inner = drawn(drawings, _Path(), (1, 8, 6, 6))
    assert operations(inner) == {"conv": 3, "mul": 1, "add": 1, "tanh": 1}
    assert {"mul", "tanh"} <= set(texts(inner))


def test_paths_that_cross_are_refused(drawings):
    with pytest.raises(ValueError, match="paths cross"):
        drawn(drawings, _Crossing(), (1, 8, 6, 6))


def test_shortcuts_run_beside_the_boxes(folder):
    """No line passes through a box; the shortcut is the one line with corners."""
    for path in sorted(folder.rglob("*-light.svg")):
        root = ET.parse(path).getroot()
        boxes = [box for box, _ in rectangles(root)]
        for points in lines(root):
            for (x, y), (to_x, to_y) in zip(points, points[1:]):
                for left, top, right, bottom in boxes:
                    beside = max(x, to_x) <= left or min(x, to_x) >= right
                    assert beside or max(y, to_y) <= top or min(y, to_y) >= bottom, path
    residual = ET.parse(folder / "en" / "residual-light.svg").getroot()
    [shortcut] = [points for points in lines(residual) if len(points) > 2]
    assert min(y for _, y in shortcut) < min(box[1] for box, _ in rectangles(residual))
    assert max(x for x, _ in shortcut) > max(box[2] for box, _ in rectangles(residual))


def test_boxes_stand_apart_and_within_the_drawing(both):
    root = both["light"]
    left, top, width, height = map(float, root.get("viewBox").split())
    boxes = [box for box, _ in rectangles(root)]
    for x, y, right, bottom in boxes:
        assert left < x and top < y and right < left + width and bottom < top + height
    for one, other in itertools.combinations(boxes, 2):
        apart = one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]
        assert apart


def test_text_fits_its_box_in_a_wide_font(both):
    font = font_manager.findfont("DejaVu Sans")  # comes with Matplotlib
    for (left, _, right, _), written in rectangles(both["light"]):
        for text in written:
            size = int(text.get("font-size"))
            latin = "".join(letter for letter in text.text if letter < "\u2e80")
            width = ImageFont.truetype(font, size * 10).getlength(latin) / 10
            assert width + size * (len(text.text) - len(latin)) < right - left


def test_light_and_dark_differ_in_colours_alone(both):
    colours = {}
    for theme, root in both.items():
        colours[theme] = [
            element.attrib.pop(key)
            for element in root.iter()
            for key in ("fill", "stroke")
            if element.get(key, "none") != "none"
        ]
    light, dark = both.values()
    assert ET.tostring(light) == ET.tostring(dark)
    assert all(a != b for a, b in zip(colours["light"], colours["dark"]))


def test_text_and_lines_stand_out_from_what_is_behind_them(both):
    for theme, root in both.items():
        in_boxes = set()
        for group in root.iter(f"{SVG}g"):
            outline, *inside = group
            assert all(
                contrast(element.get("fill", element.get("stroke")), outline.get("fill")) > 7
                for element in inside
            )
            in_boxes.update(inside)
        for page in PAGES[theme]:
            for element in root.iter():
                painted = (
                    element.get("fill") if element.get("stroke") is None else element.get("stroke")
                )
                if painted and element not in in_boxes:
                    assert contrast(painted, page) > (7 if element.tag == f"{SVG}text" else 3)


def test_nothing_is_behind_the_drawing_and_it_has_a_title(both, drawings):
    for root in both.values():
        assert root.find(f"{SVG}title").text
        assert root.find(f"{SVG}rect") is None and root.get("style") is None


def test_only_what_changes_is_written(drawings, tmp_path):
    paths = drawings.draw_all(tmp_path, "en")
    assert paths == [tmp_path / "en" / f"{n}-{t}.svg" for n in drawings.DRAWINGS for t in PAGES]
    text = paths[0].read_text(encoding="utf-8")
    paths[0].write_text("of an older block", encoding="utf-8")
    for path in paths:
        os.utime(path, (0, 0))
    drawings.draw_all(tmp_path, "en")
    assert [path for path in paths if path.stat().st_mtime] == paths[:1]
    assert paths[0].read_text(encoding="utf-8") == text


def test_the_command_draws_one_language(drawings, tmp_path):
    drawings.main(["--lang", "zh", "--out", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["zh"]
    assert len(list(tmp_path.rglob("*.svg"))) == 2 * len(OPERATIONS)
    title = ET.parse(tmp_path / "zh" / "transition-dark.svg").getroot().find(f"{SVG}title")
    assert title.text == "过渡层"
