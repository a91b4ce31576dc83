"""Everything that is read stands out from its background, on light and on dark pages."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.docs
#: Of what a reader reads: the least ratio of its brightness to that of what it stands on, each by
#: the definitions of WCAG 2.1.
CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
function rgba(color) {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
  const d = canvas.getImageData(0, 0, 1, 1).data;
  return [d[0], d[1], d[2], d[3] / 255];
}
function luminance(c) {
  const [r, g, b] = c.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function ground(element) {
  for (let e = element; e; e = e.parentElement) {
    const c = rgba(getComputedStyle(e).backgroundColor);
    if (c[3] > 0.5) return c.slice(0, 3);
  }
  return [255, 255, 255];
}
return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility()).map(e => {
  const [a, b] = [rgba(getComputedStyle(e).color).slice(0, 3), ground(e)].map(luminance);
  return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 100)];
}).sort((one, other) => one[0] - other[0])[0];
"""
#: Prose, code, tables, and what is clicked.
READ = (
    *("article p", "article li", "article h1", "article a:not(.headerlink)"),
    *("article pre", "article pre span", "article code span", "article th", "article td"),
    *("summary", ".sd-tab-label", "nav a"),
)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", ["index.html", "resnet.html", "zh/lenet.html", "api/index.html"])
def test_everything_is_readable_in_light_and_in_dark(browser, page, theme):
    browser.open(page)
    browser.use(theme)
    ground = browser.run(
        "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert (max(ground[:3]) < 60) == (theme == "dark")
    for selector in READ:
        least = browser.run(CONTRAST, selector)
        assert least is None or least[0] >= 4.5, (selector, least)
    images = browser.run(
        "return [...document.querySelectorAll('article img')].filter(i => i.checkVisibility())"
        ".map(i => i.getAttribute('src'))"
    )
    other = {"light": "dark", "dark": "light"}[theme]
    assert not any(image.endswith(f"-{other}.svg") for image in images)
