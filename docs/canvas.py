"""SVG elements that the drawings are made of: boxes, a plus sign, lines and text, in two themes."""

from __future__ import annotations

from math import hypot
from typing import Sequence, Tuple
from xml.etree import ElementTree as ET

Point = Tuple[float, float]

_LAYER, _ACTIVATION, _POOL, _JOIN, _OTHER = range(5)
_COLOUR_OF = {
    **dict.fromkeys(("conv", "dense"), _LAYER),
    **dict.fromkeys(("relu", "sigmoid"), _ACTIVATION),
    **dict.fromkeys(("max pool", "average pool", "global average pool"), _POOL),
    **dict.fromkeys(("add", "concat"), _JOIN),
}
#: Text, lines, the fills of boxes and their borders.
THEMES = {
    "light": {
        "text": "#0f172a",
        "line": "#475569",
        "fills": ("#dbeafe", "#fef3c7", "#dcfce7", "#fce7f3", "#f1f5f9"),
        "borders": ("#3b82f6", "#d97706", "#16a34a", "#db2777", "#64748b"),
    },
    "dark": {
        "text": "#f1f5f9",
        "line": "#a9b5c6",
        "fills": ("#1e3a5f", "#4a3510", "#14432a", "#4d1836", "#333d4d"),
        "borders": ("#60a5fa", "#fbbf24", "#4ade80", "#f472b6", "#94a3b8"),
    },
}
# Text stays text, in the reader's own fonts: where the site is built, none may have Chinese.
FONTS = (
    "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'PingFang SC', 'Microsoft YaHei', "
    "'Noto Sans CJK SC', 'WenQuanYi Zen Hei', sans-serif"
)
# In pixels: text; the plus sign's circle, a line's corner, an arrow's head.
NAME, DETAIL = 14, 12
RADIUS, CORNER, HEAD = 12, 8, 8


def text_width(texts: Sequence[str]) -> float:
    """Pixels for a name and its detail in a wide font. A Chinese character is a square."""
    return max(
        size * sum(1.0 if letter > "\u2e80" else 0.6 for letter in text)
        for text, size in zip(texts, (NAME, DETAIL))
    )


class Canvas:
    """An SVG document, transparent where nothing is drawn; `y` grows downwards.

    Each operation is a group whose ``data-op`` says its kind.
    """

    def __init__(self, title: str, theme: str) -> None:
        self._colours = THEMES[theme]
        self._svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", role="img")
        self._svg.attrib.update({"font-family": FONTS, "text-anchor": "middle"})
        self._add(self._svg, "title").text = title

    def document(self, left: float, right: float, height: float) -> str:
        """The document, from `left` to `right` and from 0 to `height`."""
        self._svg.set("viewBox", f"{left:g} 0 {right - left:g} {height:g}")
        self._svg.attrib.update(width=f"{right - left:g}", height=f"{height:g}")
        return ET.tostring(self._svg, encoding="unicode") + "\n"

    def box(self, kind: str, texts: Sequence[str], corner: Point, size: Point) -> None:
        """An operation's name, and below it its detail if there is one, in a box."""
        (x, y), (width, height) = corner, size
        group, painted = self._operation(kind)
        self._add(group, "rect", x=x, y=y, width=width, height=height, rx=5, **painted)
        middle = (x + width / 2, y + height / 2)
        if len(texts) == 1:
            self.write(texts[0], middle, group)
        else:
            self.write(texts[0], (middle[0], middle[1] - 8), group)
            self.write(texts[1], (middle[0], middle[1] + 10), group, DETAIL)

    def plus(self, kind: str, centre: Point) -> None:
        x, y = centre
        group, painted = self._operation(kind)
        self._add(group, "circle", cx=x, cy=y, r=RADIUS, **painted)
        cross = f"M{x - 6:g} {y:g}h12M{x:g} {y - 6:g}v12"
        self._add(group, "path", d=cross, stroke=self._colours["text"], stroke_width=1.5)

    def dot(self, centre: Point) -> None:
        x, y = centre
        self._add(self._svg, "circle", cx=x, cy=y, r=2.5, fill=self._colours["line"])

    def write(
        self, text: str, centre: Point, parent: ET.Element | None = None, size: int = NAME
    ) -> None:
        x, y = centre[0], centre[1] + 0.36 * size  # to the foot of the letters
        parent = self._svg if parent is None else parent
        self._add(parent, "text", x=x, y=y, font_size=size, fill=self._colours["text"]).text = text

    def line(self, *points: Point, head: bool = True) -> None:
        """A line with round corners; an arrow if it has a head."""
        path = f"M{_pair(points[0])}"
        for before, corner, after in zip(points, points[1:], points[2:]):
            start, end = _towards(corner, before, CORNER), _towards(corner, after, CORNER)
            path += f"L{_pair(start)}Q{_pair(corner)} {_pair(end)}"
        colour, tip = self._colours["line"], points[-1]
        end = _towards(tip, points[-2], HEAD - 1) if head else tip
        path += f"L{_pair(end)}"
        self._add(self._svg, "path", d=path, fill="none", stroke=colour, stroke_width=1.5)
        if head:
            x, y = _towards(tip, points[-2], HEAD)
            right, down = (tip[0] - x) / 2, (tip[1] - y) / 2
            sides = (x - down, y + right), (x + down, y - right)
            path = f"M{_pair(tip)}L{_pair(sides[0])}L{_pair(sides[1])}Z"
            self._add(self._svg, "path", d=path, fill=colour)

    def _operation(self, kind: str) -> tuple[ET.Element, dict[str, str | float]]:
        group = ET.SubElement(self._svg, "g", {"data-op": kind})
        fill, border = (
            self._colours[part][_COLOUR_OF.get(kind, _OTHER)] for part in ("fills", "borders")
        )
        return group, {"fill": fill, "stroke": border, "stroke_width": 1.25}

    def _add(self, parent: ET.Element, tag: str, **attributes: str | float) -> ET.Element:
        written = {
            name.replace("_", "-"): value if isinstance(value, str) else f"{value:g}"
            for name, value in attributes.items()
        }
        return ET.SubElement(parent, tag, written)


def _towards(start: Point, end: Point, length: float) -> Point:
    """The point that lies `length` from `start` on the way to `end`."""
    share = length / hypot(end[0] - start[0], end[1] - start[1])
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _pair(point: Point) -> str:
    return f"{point[0]:g} {point[1]:g}"
