"""The site as a reader uses it in a browser: tabs, languages, search, answers, formulas."""

from __future__ import annotations

from urllib.parse import urlsplit

from gluonbook.recipes import RECIPES
import pytest

from .browser import NARROW
from .built import pages_of

pytestmark = pytest.mark.docs
LANGUAGES = ("", "zh/")


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


def chosen_tabs(browser):
    """The label of the chosen tab of each set of tabs on the page."""
    return browser.run(
        "return [...document.querySelectorAll('.sd-tab-set > input')].filter(i => i.checked)"
        ".map(i => i.nextElementSibling.textContent.trim())"
    )


def shown_code(browser):
    return "\n".join(each.text for each in browser.all(".sd-tab-content") if each.is_displayed())


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_framework_stays_chosen_on_the_page_and_on_the_next(browser, language):
    browser.open(f"{language}index.html")
    assert chosen_tabs(browser) == ["Gluon"]
    assert "def hybrid_forward" in shown_code(browser)
    [label] = [each for each in browser.all(".sd-tab-label") if each.text == "PyTorch"]
    browser.click(label)
    browser.wait(lambda: chosen_tabs(browser) == ["PyTorch"])
    assert "def forward" in shown_code(browser)
    assert "def hybrid_forward" not in shown_code(browser)

    browser.open(f"{language}resnet.html")
    browser.wait(lambda: set(chosen_tabs(browser)) == {"PyTorch"})
    assert "class Residual(nn.Module)" in shown_code(browser)
    [label, *others] = [each for each in browser.all(".sd-tab-label") if each.text == "Gluon"]
    assert len(others) >= 2
    browser.click(label)
    browser.wait(lambda: set(chosen_tabs(browser)) == {"Gluon"})
    assert "class Residual(nn.HybridBlock)" in shown_code(browser)
    assert "class Residual(nn.Module)" not in shown_code(browser)


def test_the_other_language_is_the_same_page(browser):
    for name in ("index.html", "resnet.html", "how-to/resume.html"):
        browser.open(name)
        for page, lang, other in ((f"zh/{name}", "zh-CN", "中文"), (name, "en", "English")):
            [link] = browser.all("a.other-language")
            assert link.text == other
            browser.follow(link, page)
            assert browser.run("return document.documentElement.lang") == lang


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
    browser.click(folded[0].find_element("css selector", "summary"))
    browser.wait(folded[0].find_element("css selector", ".sd-card-body").is_displayed)


@pytest.mark.parametrize("section", RECIPES)
def test_the_formulas_are_set(browser, section):
    browser.open(f"{section}.html")
    formulas = browser.run("return document.querySelectorAll('.math').length")
    assert len(browser.all("mjx-container svg")) >= formulas > 0
    assert browser.all("mjx-merror, [data-mjx-error]") == []
