"""The site: ``python -m sphinx docs docs/_build`` makes it, and trains nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path
import sys
from typing import Any

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

import languages
import mathjax
from pages import files

#: With the site, so that formulas need no other server. This file has all its fonts within.
MATHJAX = Path(mathjax.__file__).with_name("static") / "mathjax/es5/tex-svg.js"

project = "gluonbook"
html_title = "gluonbook"
language = "en"  # of the English pages; `languages` sets that of the others

extensions = [
    *("myst_nb", "sphinx_design", "sphinx_copybutton"),
    *("sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"),
]
exclude_patterns = ["_build", "jupyter_execute", "_notebooks", "_drawings", "_front"]
templates_path = ["_templates"]

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist", "attrs_block"]
myst_heading_anchors = 3
#: The outputs are those of the recorded runs.
nb_execution_mode = "off"
nb_merge_streams = True

html_theme = "sphinx_book_theme"
html_theme_options = {
    "article_header_end": ["language.html", "article-header-buttons.html"],
    "navbar_persistent": [],  # the search stands in the sidebar
    "footer_content_items": [],
    "show_toc_level": 2,
    "use_download_button": False,  # each section's page has its own, of what can be run
    "use_fullscreen_button": False,
}
html_static_path = ["_static", str(MATHJAX)]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}
html_show_copyright = html_copy_source = False
html_use_index = html_domain_indices = False  # the search finds every name
html_search_language = languages.Search.lang
mathjax_path = MATHJAX.name

default_role = "code"  # of a name in a docstring
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say what matters of them
autodoc_mock_imports = [
    name for name in ("torch", "torchvision") if importlib.util.find_spec(name) is None
]
napoleon_google_docstring = False
napoleon_use_rtype = False


def without_alias(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Leave out what Python says of each field of a named tuple."""
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", without_alias)
    app.add_search_language(languages.Search)
    app.connect("config-inited", lambda app, config: files.write(Path(app.srcdir)))
    app.connect("source-read", languages.of_source)
    app.connect("html-page-context", languages.of_page)
