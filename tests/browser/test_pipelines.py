"""Pipelines in the dashboard: stored definitions beside their runs, and a run as the tree of its steps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Locator, Page, expect

from agent_worker.pipelines.reading.folder import read_folder
from tests.browser.axe import faults
from tests.browser.dev import Dev

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "pipelines"
LETTER = {"LETTER": "I am cross.", "KIND": "complaint"}


@pytest.fixture(scope="module")
def database(dev: Dev) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Connected to the database of `dev`, in which the examples are stored."""
    with psycopg.connect(str(dev.printed["database_url"]), autocommit=True) as conn:
        for folder in sorted(EXAMPLES.iterdir()):
            content = json.dumps(read_folder(folder).as_json())
            conn.execute("SELECT agent_worker.push_definition('pipeline', %s, %s)", (folder.name, content))
        yield conn


@pytest.fixture
def dashboard(page: Page, dev: Dev, database: object) -> Page:
    """The page Pipelines, signed in without typing, with changes flowing."""
    page.goto(f"{dev.url}/#/pipelines")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="Approve a reply")).to_be_visible()
    return page


def run(dev: Dev, slug: str, given: dict[str, object]) -> str:
    """Run a stored definition from outside; returns the task's id."""
    payload = json.dumps({"agent": slug, "input": given})
    return str(dev.program("submit", "--kind", "pipeline", "--payload", payload, "--json").json["id"])


def step(page: Page, name: str) -> Locator:
    """The line of a step; rounds before its name."""
    return page.get_by_role("region", name="Steps").locator(".step-row").filter(has_text=name)


def test_a_stored_pipeline_is_run_from_its_form_and_its_steps_are_shown(dashboard: Page) -> None:
    dashboard.get_by_role("link", name=re.compile("Summarise")).click()
    expect(dashboard.get_by_role("heading", name="Summarise summarise")).to_be_visible()
    expect(dashboard.get_by_role("region", name="Steps")).to_contain_text("Hand over the text")
    form = dashboard.get_by_role("region", name="Run it")
    form.get_by_role("button", name="Run").click()
    expect(form).to_contain_text("This is needed.")

    form.get_by_label("TEXT").fill("The sea is wide.")
    form.get_by_role("button", name="Run").click()

    expect(dashboard.get_by_role("heading", level=1)).to_contain_text("completed")
    expect(step(dashboard, "Summarise")).to_contain_text("next-message")
    expect(step(dashboard, "Summarise")).to_contain_text(re.compile(r"\d+ tokens"))
    expect(dashboard.get_by_role("region", name="Result")).to_contain_text("The sea is wide.")
    dashboard.go_back()
    runs = dashboard.get_by_role("region", name="Runs").get_by_role("listitem")
    expect(runs.filter(has_text="completed").first).to_contain_text("v1")


def test_the_chosen_pipeline_follows_the_keys(dashboard: Page) -> None:
    dashboard.keyboard.press("j")
    expect(dashboard.get_by_role("heading", name="Research")).to_be_visible()
    dashboard.keyboard.press("k")
    expect(dashboard.get_by_role("heading", name="Approve a reply")).to_be_visible()


def test_a_run_waits_in_its_step_and_goes_on_with_the_answer(dashboard: Page) -> None:
    form = dashboard.get_by_role("region", name="Run it")
    form.get_by_label("LETTER").fill(LETTER["LETTER"])
    form.get_by_label("KIND").select_option(label=LETTER["KIND"])
    form.get_by_role("button", name="Run").click()
    expect(dashboard.get_by_role("heading", name="Let a person decide")).to_be_visible()
    expect(step(dashboard, "Let a person decide")).to_contain_text("waiting")
    expect(step(dashboard, "Find the facts")).to_contain_text("Facts ›")

    dashboard.get_by_label("Remarks").fill("Warmer.")
    dashboard.get_by_role("button", name="Reject").click()

    expect(step(dashboard, "Round 2")).to_contain_text("waiting")
    expect(step(dashboard, "Let a person decide").first).to_contain_text("Warmer.")
    expect(dashboard.get_by_role("button", name="Approve")).to_be_visible()
    dashboard.get_by_role("button", name="Approve").click()
    expect(dashboard.get_by_role("region", name="Result")).to_contain_text("Warmer.")


def test_a_question_that_is_put_to_nobody_here_says_how_it_is_answered(dashboard: Page, dev: Dev) -> None:
    task = run(dev, "approve-reply", dict(LETTER))
    dashboard.goto(f"{dev.url}/#/tasks/{task}")
    question = dashboard.get_by_role("region", name="Let a person decide")
    expect(question).to_contain_text("agent-worker tasks answer")
    expect(question.get_by_role("button", name="Approve")).to_have_count(0)


def test_what_a_step_said_is_folded_under_it_and_a_failure_is_open(dashboard: Page, dev: Dev) -> None:
    task = run(dev, "summarise", {"TEXT": "Fold me."})
    dashboard.goto(f"{dev.url}/#/tasks/{task}")
    steps = dashboard.get_by_role("region", name="Steps")
    expect(step(dashboard, "Summarise")).to_contain_text("completed")
    dashboard.reload()
    said = steps.locator(".said")
    expect(step(dashboard, "Summarise")).to_contain_text("Fold me.")
    expect(said).to_have_count(0)
    step(dashboard, "Summarise").click()
    expect(said).to_contain_text("Fold me.")

    task = run(dev, "summarise", {"TEXT": "Fail.", "MODEL": "openai/gpt-5"})
    dashboard.goto(f"{dev.url}/#/tasks/{task}")
    expect(step(dashboard, "Summarise")).to_contain_text("failed")
    expect(steps.locator(".step-error")).to_contain_text("OPENAI_API_KEY")


def test_everybody_can_use_it(look: Page, dev: Dev, database: object) -> None:
    texts = {"TEXTS": [f"text {number}" for number in range(14)], "LANGUAGE": "Latin"}
    tasks = [run(dev, "translate-each", dict(texts)), run(dev, "approve-reply", dict(LETTER))]
    pages = {f"tasks/{task}": "pipeline" for task in tasks} | {"pipelines/research": "Pipelines"}
    for address, heading in pages.items():
        look.goto(f"{dev.url}/#/{address}")
        expect(look.get_by_role("heading", level=1).filter(has_text=heading)).to_be_visible()
        expect(look.get_by_role("region", name="Steps")).to_contain_text(re.compile("Each|Until|Search"))
        look.wait_for_load_state("networkidle")
        assert faults(look) == [], address
