"""The site, built with warnings as errors, and a browser to read it with."""

from __future__ import annotations

import functools
import http.server
import importlib
import shutil
import subprocess
import sys
import threading

import pytest

from ..conftest import CHAPTERS
from .browser import PATIENCE_S, Browser

ROOT = CHAPTERS.parent
BROWSERS = ("chromium", "google-chrome")
NEEDS_SPHINX = "needs the extra docs: pip install -e '.[docs]'"


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the site, with a space in its name as a user's may have."""
    pytest.importorskip("sphinx", reason=NEEDS_SPHINX)
    out = tmp_path_factory.mktemp("a site") / "html"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "docs", str(out)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (built.returncode, built.stderr) == (0, "")
    return out


@pytest.fixture(scope="module")
def docs():
    """The modules that make the site."""
    pytest.importorskip("sphinx", reason=NEEDS_SPHINX)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs"))
        yield importlib.import_module


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def address(site):
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
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
    opened.set_script_timeout(PATIENCE_S)
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
