"""English and Chinese in one site: the other language's page, and one search for both."""

from __future__ import annotations

import gettext
from pathlib import Path
import re
from typing import Any

import pydata_sphinx_theme
import sphinx
from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish
import sphinx_book_theme

#: Characters of Chinese text.
CHINESE = "\u4e00-\u9fff"
_RUNS = re.compile(f"[{CHINESE}]+|[^\\W{CHINESE}]+")

#: The end of a line within a Chinese text, which a browser would show as a space.
_IN_TEXT = f"[\u3001-\u301f{CHINESE}\uff00-\uffef]"
_LINE_END = re.compile(f"(?<={_IN_TEXT})\n *(?={_IN_TEXT})")


def joined(text: str) -> str:
    """A text without the ends of lines within its Chinese."""
    return _LINE_END.sub("", text)


def of_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Join the lines of a Chinese page as it is read."""
    source[0] = joined(source[0])


def words(text: str) -> list[str]:
    """The words of a text; of Chinese, which has no spaces, each two neighbouring characters.

    So any part of a Chinese text is found, without a dictionary: 过渡层 is 过渡 and 渡层.
    """
    found = []
    for run in _RUNS.findall(text):
        pairs = len(run) > 1 and re.match(f"[{CHINESE}]", run)
        found += [run[i : i + 2] for i in range(len(run) - 1)] if pairs else [run]
    return found


class Search(SearchEnglish):
    """English words by their stems, Chinese by pairs of characters."""

    lang = "en-zh"
    language_name = "English"  # by which Sphinx's script finds the stemmer
    #: `words`, for what a reader types.
    js_splitter_code = r"""
function splitQuery(query) {
  const runs = query.match(/[\u4e00-\u9fff]+|((?![\u4e00-\u9fff])[\p{L}\p{N}_])+/gu) || [];
  return runs.flatMap(function (run) {
    if (run.length === 1 || !/[\u4e00-\u9fff]/.test(run)) return [run];
    return Array.from(run.slice(1), function (next, i) { return run[i] + next; });
  });
}
"""

    def split(self, input: str) -> list[str]:
        return words(input)


def twin(page: str, known: set[str]) -> str:
    """The page in the other language, or where it has none the nearest page above it."""
    other = page[3:] if page.startswith("zh/") else f"zh/{page}"
    while other not in known:
        folder = other.removesuffix("/index").rpartition("/")[0]
        other = f"{folder}/index" if folder else "index"
    return other


def chinese_labels() -> gettext.NullTranslations:
    """What Sphinx and the theme say themselves, such as "Next", in Chinese."""
    found = gettext.NullTranslations()
    for package, folder, domain, language in (
        (sphinx, "locale", "sphinx", "zh_CN"),
        (pydata_sphinx_theme, "locale", "sphinx", "zh"),
        (sphinx_book_theme, "theme/sphinx_book_theme/static/locales", "booktheme", "zh_CN"),
    ):
        place = Path(package.__file__).parent / folder
        labels = gettext.translation(domain, place, [language], fallback=True)
        labels.add_fallback(found)
        found = labels
    return found


LABELS = chinese_labels()


def of_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """What the templates are told of a page's language."""
    chinese = pagename.startswith("zh/")
    context["language"] = "zh-CN" if chinese else "en"
    context["other_page"] = twin(pagename, app.env.found_docs)
    context["other_language"] = ("English", "en") if chinese else ("中文", "zh-CN")
    if chinese:
        context["theme_toc_title"] = "本页"
        context.update(dict.fromkeys(("_", "gettext", "translate"), LABELS.gettext))
    if pagename == "zh/index":
        context["prev"] = None  # the last of the English pages
