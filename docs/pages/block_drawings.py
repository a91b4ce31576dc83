"""The drawings of each section's blocks, as its page shows them."""

from __future__ import annotations

from xml.etree import ElementTree

from canvas import THEMES
import drawings

from .links import relative
from .repository import read
from .wording import Words

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


def block_drawings(section: str, words: Words, page: str) -> str:
    """The drawings of a section's blocks side by side, all with letters of one size.

    They are as wide as they are drawn, or as the page has room for.
    """
    widths = {name: drawn_width(name, words) for name in DRAWINGS[section]}
    scale = min(1, PAGE_WIDTH / sum(widths.values()))
    items = "".join(
        f":::{{grid-item}}\n:columns: auto\n\n**{title_of(name, words)}**\n\n"
        f"{drawing(name, scale * width, words, page)}:::\n"
        for name, width in widths.items()
    )
    return f"::::{{grid}}\n:gutter: 2\n\n{items}::::\n"


def drawing(name: str, width: float, words: Words, page: str) -> str:
    """One drawing, for light and for dark pages, so many pixels wide."""
    place = relative(place_of(name, words), page)
    return "\n".join(
        f"```{{image}} {place}-{theme}.svg\n:class: only-{theme}\n:width: {width:.0f}px\n"
        f":alt: {title_of(name, words)}\n```\n"
        for theme in THEMES
    )


def place_of(name: str, words: Words) -> str:
    """Where the drawing is in the docs' folder, without its theme."""
    return f"_drawings/{words.language}/{name}"


def title_of(name: str, words: Words) -> str:
    return drawings.WORDS[name][drawings.LANGUAGES.index(words.language)]


def drawn_width(name: str, words: Words) -> float:
    """In pixels."""
    svg = read(f"docs/{place_of(name, words)}-light.svg")
    return float(ElementTree.fromstring(svg).attrib["width"])
