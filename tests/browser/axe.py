"""What is wrong with a page for people who see, hear or move otherwise, or whose screen is narrow."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser import site

AXE = site.CLIENT / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
BEYOND = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def faults(page: Page) -> list[str]:
    """Return which rules are broken and where first, and whether the page is wider than the screen."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("(rules) => axe.run(document, { runOnly: rules })", RULES)
    broken = [f"{rule['id']}: {rule['nodes'][0]['target']}" for rule in found["violations"]]
    return broken + ([f"{wide} px too wide"] if (wide := page.evaluate(BEYOND)) else [])
