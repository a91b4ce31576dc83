"""A browser without a window, which is waited for until a page is what it will be."""

from __future__ import annotations

from urllib.parse import urlsplit

#: Width and height of a narrow telephone's screen, and of a laptop's.
NARROW, WIDE = (390, 844), (1280, 900)
#: How long the browser is waited for. On a busy machine that is long; Selenium itself gives up on
#: the browser's driver after 120 s.
PATIENCE_S = 110
#: Whether a page is loaded, with its formulas set.
IS_READY = """
return document.readyState === 'complete'
  && [...document.querySelectorAll('.math')].every(e => e.querySelector('mjx-container'));
"""


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
        self.wait(lambda: self.run(IS_READY))

    @property
    def page(self):
        return urlsplit(self.driver.current_url).path.lstrip("/")

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def click(self, element):
        self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
        element.click()

    def follow(self, link, page):
        """Click a link that leads to the page."""
        self.click(link)
        self.wait(lambda: self.page == page and self.run(IS_READY))

    def wait(self, found):
        """What `found` returns, once it is true."""
        from selenium.webdriver.support.wait import WebDriverWait

        return WebDriverWait(self.driver, PATIENCE_S).until(lambda driver: found())

    def use(self, theme):
        self.run("localStorage.setItem('mode', arguments[0])", theme)
        self.run("localStorage.setItem('theme', arguments[0])", theme)
        self.driver.refresh()
        self.wait(lambda: self.run(IS_READY))
        assert self.run("return document.documentElement.dataset.theme") == theme

    def complaints(self):
        """What the console has said of errors since it was last asked."""
        return [each["message"] for each in self.driver.get_log("browser")]
