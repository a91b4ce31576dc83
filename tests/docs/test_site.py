"""The site, built with warnings as errors, as a reader sees it in a browser."""

from __future__ import annotations

import functools
from html.parser import HTMLParser
import http.server
import importlib
import json
from pathlib import Path
import re
import shutil
from statistics import mean
import subprocess
import sys
import threading
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from gluonbook.recipes import RECIPES
import jupytext
import nbformat
import pytest

from ..conftest import CHAPTERS, NO_TORCH

pytestmark = pytest.mark.docs
ROOT = CHAPTERS.parent
LANGUAGES = ("", "zh/")
BROWSERS = ("chromium", "google-chrome")
#: A narrow telephone's, and a laptop's.
NARROW, WIDE = (390, 844), (1280, 900)
#: How long the browser is waited for, which on a busy machine is long.
PATIENCE_S = 60


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, with a space in its name as a user's may have."""
    pytest.importorskip("sphinx", reason="needs the extra docs: pip install -e '.[docs]'")
    out = tmp_path_factory.mktemp("a site") / "html"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "docs", str(out)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (built.returncode, built.stderr) == (0, "")
    return out


@pytest.fixture(scope="module")
def docs():
    """The modules that make the site."""
    pytest.importorskip("sphinx", reason="needs the extra docs: pip install -e '.[docs]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs"))
        yield importlib.import_module


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address(site):
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class Browser:
    """Chromium without a window."""

    def __init__(self, driver, address):
        self.driver, self.address = driver, address
        self.run = driver.execute_script

    def open(self, page, size=WIDE):
        width, height = size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        self.driver.get(self.address + page)

    @property
    def page(self):
        return urlsplit(self.driver.current_url).path.lstrip("/")

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def wait(self, found):
        """What `found` returns, once it is true."""
        from selenium.webdriver.support.wait import WebDriverWait

        return WebDriverWait(self.driver, PATIENCE_S).until(lambda driver: found())

    def use(self, theme):
        self.run("localStorage.setItem('mode', arguments[0])", theme)
        self.run("localStorage.setItem('theme', arguments[0])", theme)
        self.driver.refresh()
        assert self.run("return document.documentElement.dataset.theme") == theme

    def complaints(self):
        """What the console has said of errors since it was last asked."""
        return [each["message"] for each in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def one_browser(address):
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if found is None or driver is None:
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = found
    for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(option)
    service = webdriver.ChromeService(executable_path=driver)
    opened = webdriver.Chrome(options=options, service=service)
    opened.set_page_load_timeout(PATIENCE_S)
    yield Browser(opened, address)
    opened.quit()


@pytest.fixture
def browser(one_browser):
    """The browser, which remembers nothing of the test before and in the end has no complaint."""
    one_browser.open("index.html")
    one_browser.run("localStorage.clear(); sessionStorage.clear()")
    one_browser.complaints()
    yield one_browser
    assert one_browser.complaints() == []


# --- the files ----------------------------------------------------------------------------------


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


def test_every_link_and_picture_answers(site):
    pages = pages_of(site)
    assert len(pages) > 80
    wrong = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target, part = urldefrag(urljoin(name, link))
            target = unquote(target).partition("?")[0] or "index.html"
            there = (site / target).is_file()
            if not there or (part and target in pages and unquote(part) not in pages[target].parts):
                wrong.append((name, link))
    assert wrong == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("section", RECIPES)
def test_a_section_is_its_chapter_with_what_it_printed(site, docs, section, language):
    text = " ".join(" ".join(Page(site / f"{language}{section}.html").text).split())
    cells = jupytext.read(CHAPTERS / f"{language}{section}.py").cells
    for cell in cells:
        if cell.cell_type == "code":
            line = max(cell.source.splitlines(), key=len)
            assert "".join(line.split()) in "".join(text.split())
    recorded = ROOT / "results" / "chapters" / f"{section}.ipynb"
    if recorded.exists():
        notebook = nbformat.read(recorded, as_version=4)
        printed = [each.text for each in notebook.cells[-2].outputs if "text" in each]
        for line in "".join(printed).splitlines():
            assert line in text
        assert notebook.metadata["gluonbook"]["machine"]["processor"] in text
    else:
        assert f"python benchmarks/record_chapters.py --sections {section}" in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("section", RECIPES)
def test_a_sections_downloads_are_its_script_and_a_notebook_that_says_what_it_needs(
    site, section, language
):
    page = f"{language}{section}.html"
    links = {urljoin(page, link) for link in Page(site / page).links if "_downloads/" in link}
    by_kind = {Path(link).suffix: site / link for link in links if Path(link).stem == section}
    script = CHAPTERS / f"{language}{section}.py"
    assert by_kind[".py"].read_bytes() == script.read_bytes()
    notebook = nbformat.read(by_kind[".ipynb"], as_version=4)
    nbformat.validate(notebook)
    first, *cells = notebook.cells
    assert "pip install -e '.[cpu,notebook]'" in first.source
    assert [(cell.cell_type, cell.source) for cell in cells] == [
        (cell.cell_type, cell.source) for cell in jupytext.read(script).cells
    ]
    assert notebook.metadata["kernelspec"]["name"] == "python3"


#: What the Gluon text prints as the test accuracy of each section's last epoch.
IN_THE_BOOK = {
    **{"lenet": "0.754", "alexnet": "0.867", "vgg": "0.909", "nin": "0.812"},
    **{"googlenet": "0.883", "resnet": "0.909", "densenet": "0.879"},
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_front_page_says_what_each_net_reached_and_what_the_book_prints(site, language):
    runs = json.loads((ROOT / "results" / "reproduce.json").read_text())["rows"]
    _, *shown = Page(site / language / "index.html").rows
    assert [row[0] for row in shown] == [each.title.split(",")[0] for each in RECIPES.values()]
    for section, (_, accuracy, book, options) in zip(RECIPES, shown):
        if accuracy == "–":
            assert not any(run["section"] == section and run["options"] == [] for run in runs)
            continue
        found = [
            run["epochs"][-1]["test_acc"]
            for run in runs
            if (run["section"], " ".join(run["options"])) == (section, options)
        ]
        assert accuracy.split()[0] == f"{mean(found):.3f}"
        assert book == IN_THE_BOOK[section]


def test_the_reference_has_every_name_of_the_book(site):
    import gluonbook as gb

    modules = {"plt", "runtime", "utils", "__version__"}
    parts = Page(site / "api" / "index.html").parts
    assert {f"gluonbook.{name}" for name in set(gb.__all__) - modules} <= parts


def test_the_reference_has_every_family_of_nets(site):
    names = [path.stem for path in (ROOT / "gluonbook" / "zoo").glob("*.py")]
    modules = [importlib.import_module(f"gluonbook.zoo.{name}") for name in names]
    families = {f"module-{each.__name__}" for each in modules if hasattr(each, "MODELS")}
    families -= {"module-gluonbook.zoo.models", "module-gluonbook.zoo.__init__"}
    assert len(families) > 5 and families <= Page(site / "api" / "zoo.html").parts


def test_every_exercise_and_result_has_its_page(site):
    exercises = {path.stem for path in (CHAPTERS / "exercises").glob("*.py")} - {"trial"}
    found = {path.stem for path in (site / "exercises").glob("*.html")}
    assert found == exercises | {"index"}
    shown = {Path(link).name for link in Page(site / "results" / "index.html").links}
    pictures = re.findall(r"^!\[.*\]\((.*)\)$", (ROOT / "results/README.md").read_text(), re.M)
    assert len(pictures) > 10 and {Path(picture).name for picture in pictures} <= shown
    for path in (ROOT / "results").glob("*.png"):
        page = Page(site / "results" / f"{path.stem}.html")
        assert f"../_images/{path.name}" in page.links


def test_a_recording_of_other_code_is_not_shown(docs, tmp_path, monkeypatch):
    recordings = docs("pages.recordings")
    recorded = json.loads((ROOT / "results/chapters/lenet.ipynb").read_text())
    code = ["".join(cell["source"]) for cell in recorded["cells"]]
    assert recordings.recording("lenet", code).facts["section"] == "lenet"
    warned = []
    monkeypatch.setattr(recordings.log, "warning", lambda *arguments: warned.append(arguments[1]))
    assert recordings.recording("lenet", [*code[:-1], "net.show()"]) is None
    assert warned == ["lenet.ipynb"]


@pytest.mark.pytorch
def test_the_training_in_the_other_tab_runs(docs, dataset, monkeypatch, capsys):
    pytest.importorskip("torch", reason=NO_TORCH)
    import gluonbook.pytorch as d2l

    load = functools.partial(d2l.load_data_fashion_mnist, root=dataset.folder, limit=16)
    monkeypatch.setattr(d2l, "load_data_fashion_mnist", load)
    train = d2l.train_ch6
    monkeypatch.setattr(
        d2l, "train_ch6", lambda *args, **kwargs: train(*args, **{**kwargs, "num_epochs": 1})
    )
    exec(docs("pages.frameworks").pytorch_training("lenet"), {"d2l": d2l})
    assert "train acc" in capsys.readouterr().out


@pytest.mark.pytorch
@pytest.mark.parametrize("section", RECIPES)
def test_the_layers_in_the_other_tab_are_printed(docs, section, capsys):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    import gluonbook.pytorch as d2l

    names = {"d2l": d2l, "torch": torch}
    exec(docs("pages.frameworks").pytorch_layers(section), names)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(getattr(d2l, section)())
    assert lines[-1].endswith("output shape:\t torch.Size([1, 10])")


# --- in a browser -------------------------------------------------------------------------------


def test_no_page_complains_or_scrolls_sideways_on_a_telephone(browser, site):
    for name in pages_of(site):
        if name.startswith("_modules"):
            continue
        browser.open(name, NARROW)
        broken = "return [...document.images].filter(i => i.complete && !i.naturalWidth).length"
        assert browser.run(broken) == 0, name
        assert browser.complaints() == [], name
        wide = browser.run("return document.documentElement.scrollWidth")
        assert wide <= NARROW[0], name


def shown_tabs(browser):
    checked = browser.run(
        "return [...document.querySelectorAll('.sd-tab-set > input')].filter(i => i.checked)"
        ".map(i => i.nextElementSibling.textContent.trim())"
    )
    assert len(checked) >= 3
    return set(checked)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_framework_stays_chosen_on_the_page_and_on_the_next(browser, language):
    browser.open(f"{language}resnet.html")
    assert shown_tabs(browser) == {"Gluon"}
    code = browser.all(".sd-tab-content")
    assert "class Residual(nn.HybridBlock)" in code[2].text and not code[3].is_displayed()
    [label, *_] = [each for each in browser.all(".sd-tab-label") if each.text == "PyTorch"]
    browser.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", label)
    label.click()
    browser.wait(lambda: shown_tabs(browser) == {"PyTorch"})
    assert "class Residual(nn.Module)" in browser.all(".sd-tab-content")[3].text
    browser.open(f"{language}googlenet.html")
    browser.wait(lambda: shown_tabs(browser) == {"PyTorch"})


def test_every_page_is_one_click_from_the_other_language(site):
    pages = pages_of(site)
    for name, page in pages.items():
        leads_to = urljoin(name, page.other_language)
        assert leads_to in pages and leads_to.startswith("zh/") != name.startswith("zh/"), name
    for name, nearest in {
        "exercises/net_sizes.html": "zh/exercises/index.html",
        "results/int8.html": "zh/results/index.html",
        "api/zoo.html": "zh/api/index.html",
        "search.html": "zh/index.html",
    }.items():
        assert urljoin(name, pages[name].other_language) == nearest


def test_the_other_language_is_the_same_page(browser, site):
    pairs = {path.relative_to(site / "zh").as_posix() for path in site.glob("zh/**/*.html")}
    assert {f"{section}.html" for section in RECIPES} < pairs and len(pairs) > 20
    for name in sorted(pairs):
        browser.open(name)
        assert browser.run("return document.documentElement.lang") == "en"
        [link] = browser.all("a.other-language")
        assert link.text == "中文"
        link.click()
        browser.wait(lambda name=name: browser.page == f"zh/{name}")
        assert browser.run("return document.documentElement.lang") == "zh-CN"
        [link] = browser.all("a.other-language")
        assert link.text == "English"
        link.click()
        browser.wait(lambda name=name: browser.page == name)


def test_a_page_in_one_language_leads_to_the_nearest_in_the_other(docs):
    twin, known = docs("languages").twin, {"index", "zh/index", "resnet", "zh/resnet"}
    assert twin("resnet", known) == "zh/resnet" and twin("zh/resnet", known) == "resnet"
    known |= {"api/index", "api/zoo", "zh/api/index"}
    assert twin("api/zoo", known) == "zh/api/index" and twin("search", known) == "zh/index"


@pytest.mark.parametrize(
    ("page", "words", "found"),
    [
        ("index.html", "transition layer", {"densenet.html"}),
        ("zh/index.html", "过渡层", {"zh/densenet.html"}),
        ("zh/index.html", "残差块只学习", {"zh/resnet.html"}),
        ("index.html", "try_gpu", {"api/index.html"}),
    ],
)
def test_the_search_finds(browser, page, words, found):
    browser.open(page)
    [button, *_] = [each for each in browser.all(".search-button__button") if each.is_displayed()]
    button.click()
    field = browser.wait(
        lambda: next((each for each in browser.all("input[name=q]") if each.is_displayed()), None)
    )
    field.send_keys(words + "\n")
    browser.wait(lambda: browser.page == "search.html")

    def results():
        links = browser.all("#search-results .search a")
        return {urlsplit(each.get_attribute("href")).path.lstrip("/") for each in links}

    browser.wait(lambda: found <= results())


def test_the_search_cuts_a_query_as_it_cut_the_pages(browser, docs):
    words = docs("languages").words
    browser.open("search.html?q=")
    for text in ("过渡层", "用 1×1 卷积层代替 dense_block 的全连接层", "try_gpu, ResNet-18", "层"):
        assert browser.run("return splitQuery(arguments[0])", text) == words(text)
    assert words("过渡层 and Net") == ["过渡", "渡层", "and", "Net"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_answer_is_folded_until_it_is_asked_for(browser, language):
    browser.open(f"{language}resnet.html")
    folded = browser.all("details.sd-dropdown")
    assert len(folded) >= 5
    for each in folded:
        [summary] = each.find_elements("css selector", "summary")
        [body] = each.find_elements("css selector", ".sd-card-body")
        assert summary.text.startswith("Answer: " if language == "" else "答案：")
        assert not body.is_displayed()
    browser.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", folded[0])
    folded[0].find_element("css selector", "summary").click()
    browser.wait(folded[0].find_element("css selector", ".sd-card-body").is_displayed)


@pytest.mark.parametrize("section", RECIPES)
def test_the_formulas_are_set(browser, section):
    browser.open(f"{section}.html")
    count = "return document.querySelectorAll('mjx-container svg').length"
    formulas = browser.run("return document.querySelectorAll('.math').length")
    browser.wait(lambda: browser.run(count) >= formulas > 0)
    assert browser.all("mjx-merror, [data-mjx-error]") == []


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
READ = (
    *(
        "article p",
        "article li",
        "article h1",
        "article a:not(.headerlink)",
        "article code span",
        "article td",
    ),
    *("article pre", "article pre span", "article th", "summary", ".sd-tab-label", "nav a"),
)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", ["resnet.html", "zh/lenet.html", "api/index.html"])
def test_everything_is_readable_in_light_and_in_dark(browser, page, theme):
    browser.open(page)
    browser.use(theme)
    [ground] = browser.run(
        "return [getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)]"
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
