"""How soon does the dashboard paint? `python -m tests.browser.paint`, or with the addresses of gateways to compare.

Chromium's own figures, in milliseconds from the start of the navigation; rounds go around among the addresses, so that a
slow moment of the machine hits all of them. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser import site
from tests.browser.dev import Dev

FIGURES = {
    "document": "the page itself has come",
    "first_paint": "the frame is painted",
    "loaded": "scripts and styles have come and run",
    "content": "the first page's own heading stands",
}
_READ = """() => {
  const at = (name) => performance.getEntriesByName(name)[0]?.startTime ?? NaN;
  const [page] = performance.getEntriesByType('navigation');
  return {
    document: page.responseEnd, first_paint: at('first-contentful-paint'), loaded: page.loadEventEnd,
    content: at('content'),
    bytes: page.transferSize + performance.getEntriesByType('resource')
      .filter((one) => /\\.(js|css|svg)$/.test(one.name)).reduce((sum, one) => sum + one.transferSize, 0),
  };
}"""
_MARK = """new MutationObserver((_, watch) => {
  if (document.querySelector('main h1') === null) return;
  performance.mark('content');
  watch.disconnect();
}).observe(document, { childList: true, subtree: true });"""

Visit = dict[str, float]


def main() -> None:
    """Visit, and print the median of each figure with its smallest and largest value."""
    chosen = _arguments()
    with _addresses(chosen.urls) as urls, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        visits: dict[tuple[str, str], list[Visit]] = defaultdict(list)
        _visit_twice(browser, urls[0])  # a browser that has just started is busy with itself
        for _ in range(chosen.rounds):
            for url in urls:
                cold, warm = _visit_twice(browser, url)
                visits[url, "cold"].append(cold)
                visits[url, "warm"].append(warm)
        for (url, state), seen in visits.items():
            print(f"{url} · {state} · {len(seen)} visits")
            for figure in (*FIGURES, "bytes"):
                print(
                    f"  {figure:<12}{_line([visit[figure] for visit in seen])}  {FIGURES.get(figure, 'of files')}"
                )


@contextmanager
def _addresses(urls: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the addresses; those of a server of our own where none are given."""
    if urls:
        yield urls
        return
    site.build_dashboard()
    with tempfile.TemporaryDirectory(prefix="agent-worker-paint-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        dev = Dev(folder, port=0)
        dev.up()
        try:
            yield [dev.url]
        finally:
            dev.down()
            dev.remove_data()


def _visit_twice(browser: Browser, url: str) -> tuple[Visit, Visit]:
    """Visit with nothing kept, no connection and no session, and again in a new tab of the same visitor."""
    visitor = browser.new_context()
    visitor.add_init_script(_MARK)
    visits = _visit(visitor.new_page(), url), _visit(visitor.new_page(), url)
    visitor.close()
    return visits


def _visit(page: Page, url: str) -> Visit:
    page.goto(f"{url.rstrip('/')}/#/tasks")
    page.locator("main h1").first.wait_for(state="attached")
    return {name: float(value) for name, value in page.evaluate(_READ).items()}


def _line(values: Sequence[float]) -> str:
    return f"{statistics.median(values):>9,.0f} ({min(values):,.0f} to {max(values):,.0f})".ljust(34)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.paint", description=__doc__)
    parser.add_argument("urls", nargs="*", metavar="URL", help="gateways that run; none starts one")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
