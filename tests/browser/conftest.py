"""One gateway, one worker and the built pages for all tests here; each test has a page of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser import site
from tests.browser.dev import Dev, free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARTIFACTS = Path(os.environ.get("AGENT_WORKER_TEST_ARTIFACTS", site.ROOT / ".artifacts"))

PATIENCE_MS = 60_000
"""For what a page shows late, on a machine that is busy with other things; Playwright's own is 5 s."""
LONGEST_S = 400

expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in here, and skip it where there is no browser or no Node.js."""
    missing = (
        "chromium is not here" if CHROMIUM is None else "npm is not here" if not shutil.which("npm") else None
    )
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.node)
            item.add_marker(pytest.mark.timeout(LONGEST_S))
            if missing:
                item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture(scope="session")
def dev() -> Iterator[Dev]:
    """`agent-worker dev` with the dashboard, and a port that stays when it is started again."""
    site.build_dashboard()
    with tempfile.TemporaryDirectory(prefix="agent-worker-test-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        started = Dev(folder, free_port())
        started.up()
        yield started
        started.down()
        started.remove_data()


@pytest.fixture(scope="session")
def built(dev: Dev) -> Iterator[Path]:
    """The folder of the built pages: `chat/` and `pages/`."""
    site.install(site.CLIENT)
    site.install(site.EXAMPLE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site.build_example(folder / "chat", url=dev.url, key=dev.publishable_key)
        site.build_pages(folder / "pages")
        yield folder


@pytest.fixture(scope="session")
def served(built: Path) -> Iterator[str]:
    """The address of the built pages."""
    with site.served(built) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; not for longer than a module, because an event loop stands in this thread while it is open."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor: its own session and storage."""
    opened = browser.new_context(viewport={"width": 1280, "height": 800})
    opened.set_default_timeout(PATIENCE_MS)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab; what it showed last is kept as a picture, and an error nobody caught fails the test."""
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    opened.screenshot(path=ARTIFACTS / f"{request.node.name}.png")
    assert errors == []


@pytest.fixture
def lab(page: Page, served: str, dev: Dev) -> Page:
    """A page with the whole client on `window.lab`, signed in."""
    page.goto(f"{served}/pages/lab/index.html?{dev.query}")
    page.wait_for_function("document.title === 'ready'")
    return page


@pytest.fixture(params=[("light", 1280), ("dark", 1280), ("light", 380), ("dark", 380)], ids=str)
def look(request: pytest.FixtureRequest, browser: Browser, dev: Dev) -> Iterator[Page]:
    """The dashboard by day and by night, wide and narrow."""
    scheme, width = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        reduced_motion="reduce",
        bypass_csp=True,  # for axe, which comes as a script of its own
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{dev.url}/#/tasks")
    page.get_by_text("live", exact=True).wait_for()
    yield page
    context.close()
