"""A page of the built site, as its file has it."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """The names of a page's parts, what it links to and shows, and the cells of its tables."""

    def __init__(self, path):
        super().__init__()
        self.parts, self.links, self.text, self.rows = set(), set(), [], []
        self.other_language = None
        self.in_cell = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        of = dict(attrs)
        self.parts.add(of.get("id"))
        self.links |= {of[name] for name in ("href", "src") if of.get(name)}
        if "other-language" in (of.get("class") or "").split():
            self.other_language = of["href"]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1][-1] = self.rows[-1][-1].strip()
            self.in_cell = False

    def handle_data(self, data):
        self.text.append(data)
        if self.in_cell:
            self.rows[-1][-1] += data


def pages_of(site):
    """Each page of the site by its place; those of the source code are listed apart."""
    paths = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    return {path.relative_to(site).as_posix(): Page(path) for path in paths}
