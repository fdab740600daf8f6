"""The dashboard in a browser, on a real gateway and worker: what an operator is promised."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import faults
from tests.browser.dev import Dev


@pytest.fixture
def no_tasks(dev: Dev) -> None:
    """No task of an earlier test is left."""
    with psycopg.connect(str(dev.printed["database_url"]), autocommit=True) as conn:
        conn.execute("DELETE FROM agent_task_requests")


@pytest.fixture
def dashboard(page: Page, dev: Dev) -> Page:
    """All tasks, signed in without typing, with changes flowing."""
    page.goto(f"{dev.url}/#/tasks")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    return page


def submit(dev: Dev, prompt: str, kind: str = "echo", **columns: str) -> str:
    """Insert a task from outside; returns its id."""
    options = [part for name, value in columns.items() for part in (f"--{name}", value)]
    return str(dev.program("submit", prompt, "--kind", kind, "--json", *options).json["id"])


def ask(page: Page, kind: str, payload: str) -> None:
    """Submit from the page Play, as JSON."""
    page.goto(page.url.partition("#")[0] + f"#/play?kind={kind}")
    page.get_by_role("button", name="As JSON").or_(page.get_by_role("button", name="As a form")).wait_for()
    if page.get_by_role("button", name="As JSON").count():
        page.get_by_role("button", name="As JSON").click()
    page.get_by_label("request_payload").fill(payload)
    page.get_by_role("button", name="Ask").click()


def test_a_new_task_waits_until_somebody_wants_to_see_it_unless_it_is_the_first(
    no_tasks: None, dashboard: Page, dev: Dev
) -> None:
    submit(dev, "the first of these")
    expect(dashboard.get_by_role("row").filter(has_text="the first of these")).to_contain_text("completed")
    submit(dev, "the second of these")
    expect(dashboard.get_by_role("button", name=re.compile(r"\d+ new"))).to_be_visible()
    expect(dashboard.get_by_text("the second of these")).to_have_count(0)

    dashboard.keyboard.press("n")

    expect(dashboard.get_by_role("row").filter(has_text="the second of these")).to_contain_text("completed")


def test_an_answer_streams_in_and_leads_to_its_task(dashboard: Page, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    ask(dashboard, "count", f'{{"to": 12, "pause_ms": 20, "file": "{gate}"}}')

    answer = dashboard.get_by_role("region", name="Answer")
    expect(answer).to_contain_text("2@")
    expect(dashboard.locator(".watched")).to_contain_text("processing")
    gate.touch()
    expect(dashboard.locator(".watched")).to_contain_text("completed")
    expect(answer).to_contain_text("12@")
    dashboard.get_by_role("link", name=re.compile("^Task ")).click()
    expect(dashboard.get_by_role("heading", level=1)).to_contain_text("count")
    expect(dashboard.get_by_role("region", name="Response")).to_contain_text("answer")


def test_a_running_task_is_cancelled_by_one_key_and_its_confirmation(dashboard: Page, tmp_path: Path) -> None:
    ask(dashboard, "gate", f'{{"file": "{tmp_path / "never"}"}}')
    dashboard.get_by_role("link", name=re.compile("^Task ")).click()
    expect(dashboard.get_by_role("heading", level=1)).to_contain_text("processing")
    expect(dashboard.get_by_role("region", name="Answer")).to_contain_text("waiting in attempt 1")

    dashboard.keyboard.press("c")
    dashboard.get_by_role("button", name="Cancel task").click()

    expect(dashboard.get_by_role("heading", level=1)).to_contain_text("cancelled")
    dashboard.get_by_role("button", name="Retry").click()
    expect(dashboard.get_by_role("region", name="Answer")).to_contain_text("waiting in attempt 2")
    expect(dashboard.get_by_role("heading", level=1)).to_contain_text("processing")
    dashboard.keyboard.press("c")
    dashboard.keyboard.press("Enter")
    expect(dashboard.get_by_role("heading", level=1)).to_contain_text("cancelled")


def test_a_question_is_answered_from_the_inbox_by_keyboard(dashboard: Page) -> None:
    ask(dashboard, "approve", '{"prompt": "Publish this very text?"}')
    dashboard.keyboard.press("Escape")
    dashboard.get_by_role("link", name=re.compile("Inbox")).click()
    expect(dashboard.get_by_role("heading", name="Publish this very text?")).to_be_visible()

    dashboard.keyboard.press("a")

    expect(dashboard.get_by_text("Approved. The task goes on.")).to_be_visible()
    expect(dashboard.get_by_text("Nothing to answer")).to_be_visible()


def test_workers_are_shown_and_kinds_paused(dashboard: Page) -> None:
    dashboard.get_by_role("link", name="Workers").click()
    expect(dashboard.get_by_text("live").first).to_be_visible()
    kind = (
        dashboard.get_by_role("listitem")
        .filter(has=dashboard.get_by_role("link", name="gate", exact=True))
        .last
    )

    kind.get_by_role("button", name="Pause").click()
    expect(kind).to_contain_text("paused")
    kind.get_by_role("button", name="Resume").click()
    expect(kind).not_to_contain_text("paused")


def test_a_search_is_typed_and_completed(dashboard: Page) -> None:
    dashboard.keyboard.press("/")
    dashboard.keyboard.type("kind:echo status:fai")
    dashboard.keyboard.press("Tab")
    dashboard.keyboard.press("Enter")

    expect(dashboard).to_have_url(re.compile(r"q=kind%3Aecho\+status%3Afailed"))
    expect(dashboard.get_by_text("No task fits")).to_be_visible()


def test_it_says_when_the_connection_is_lost_and_heals_by_itself(dashboard: Page, dev: Dev) -> None:
    dev.down()
    expect(dashboard.get_by_text("Connection lost")).to_be_visible()

    dev.up()

    expect(dashboard.get_by_text("live", exact=True)).to_be_visible(timeout=120_000)
    expect(dashboard.get_by_text("Connection lost")).to_have_count(0)


def test_everybody_can_use_it(look: Page, dev: Dev) -> None:
    task = submit(dev, "a task to look at")
    for address in ("tasks", f"tasks/{task}", "workers", "inbox", "play"):
        look.evaluate("(address) => { location.hash = address }", f"#/{address}")
        expect(look.get_by_role("heading", level=1).first).to_be_attached()
        look.wait_for_load_state("networkidle")

        assert faults(look) == [], address


def test_the_frame_stands_when_nothing_but_the_page_itself_has_come(page: Page, dev: Dev) -> None:
    page.route(re.compile(r"/(config\.json|assets/.*)$"), lambda _: None)  # never answered

    page.goto(dev.url, wait_until="commit")

    expect(page.get_by_text("Tasks").first).to_be_visible()
    expect(page.locator(".bar")).to_have_css("height", "48px")
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length === 1")


def test_a_list_says_what_each_task_is_about(no_tasks: None, dashboard: Page, dev: Dev) -> None:
    payload = '{"messages": [{"role": "user", "content": "first"}, {"role": "user", "content": "then this"}]}'
    dev.program("submit", "--kind", "echo", "--payload", payload, "--json")
    expect(dashboard.get_by_role("row").filter(has_text="then this")).to_have_count(1)
