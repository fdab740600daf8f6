"""The client in a browser: what a page is promised."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, expect

from agent_worker.cli.dev import _snippet
from tests.browser.dev import Dev
from tests.cli.program import until


def submit(page: Page, request: dict[str, Any]) -> None:
    """Submit from the page; its end arrives in `window.done`, its streamed text in `window.heard`."""
    page.evaluate(
        """(request) => {
          window.done = null;
          window.heard = '';
          window.failed = null;
          window.task = crypto.randomUUID();
          lab.submitAgentTask({ ...request, id: window.task }).then(
            (task) => { window.done = task; },
            (error) => { window.failed = { name: error.name, code: error.code, message: error.message }; },
          );
          (async () => {
            for await (const event of lab.streamAgentTask(window.task))
              if (event.type === 'text-delta') window.heard += event.data.delta;
          })().catch(() => {});
        }""",
        request,
    )


def test_a_task_that_completes_at_once_resolves_every_time(lab: Page) -> None:
    answers = lab.evaluate(
        """async () => {
          const answers = [];
          for (let n = 0; n < 20; n += 1) {
            const task = await lab.submitAgentTask({ kind: 'echo', prompt: `number ${n}` });
            answers.push(task.response_payload.answer);
          }
          return answers;
        }"""
    )
    assert answers == [f"number {n}" for n in range(20)]


def test_text_streams_in_before_the_task_is_complete(lab: Page, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    submit(lab, {"kind": "count", "payload": {"to": 10, "pause_ms": 20, "file": str(gate)}})
    lab.wait_for_function("window.heard.includes('3@')")
    assert lab.evaluate("window.done") is None
    gate.touch()
    lab.wait_for_function("window.done !== null")
    assert lab.evaluate("window.done.response_payload.answer") == "1 2 3 4 5 6 7 8 9 10"
    lab.wait_for_function("window.heard.includes('10@')")


def test_a_cancelled_task_ends_as_cancelled(lab: Page, tmp_path: Path) -> None:
    submit(lab, {"kind": "gate", "payload": {"file": str(tmp_path / "never")}})
    lab.wait_for_function("window.heard.includes('waiting')")
    lab.evaluate("lab.cancelAgentTask(window.task)")
    lab.wait_for_function("window.failed !== null")
    assert lab.evaluate("window.failed.code") == "cancelled"


def test_two_tabs_of_one_visitor_see_the_same_task(
    lab: Page, context: BrowserContext, served: str, dev: Dev, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    other = context.new_page()
    other.goto(f"{served}/pages/lab/index.html?{dev.query}")
    other.wait_for_function("document.title === 'ready'")
    submit(lab, {"kind": "gate", "payload": {"file": str(gate)}})
    lab.wait_for_function("window.heard.includes('waiting')")
    task = lab.evaluate("window.task")
    other.evaluate(
        """(task) => {
          window.heard = '';
          (async () => {
            for await (const event of lab.streamAgentTask(task))
              window.heard += event.type + ' ';
          })();
        }""",
        task,
    )
    other.wait_for_function("window.heard.includes('text-delta')")
    gate.touch()
    lab.wait_for_function("window.done !== null")
    other.wait_for_function("window.heard.includes('finish')")
    assert other.evaluate("(task) => lab.getTaskStatus(task).then((row) => row.status)", task) == "completed"


def test_a_stranger_sees_nothing_of_it(lab: Page, browser: Any, served: str, dev: Dev) -> None:
    submit(lab, {"kind": "echo", "prompt": "mine"})
    lab.wait_for_function("window.done !== null")
    stranger = browser.new_context().new_page()
    stranger.goto(f"{served}/pages/lab/index.html?{dev.query}")
    stranger.wait_for_function("document.title === 'ready'")
    seen = stranger.evaluate(
        "lab.supabase.from('agent_task_requests').select('id').then(({ data }) => data.length)"
    )
    assert seen == 0
    stranger.context.close()


def test_a_killed_workers_task_is_finished_by_another(lab: Page, dev: Dev, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    submit(lab, {"kind": "gate", "payload": {"file": str(gate)}})
    lab.wait_for_function("window.heard.includes('attempt 1')")
    for worker in dev.workers():
        os.kill(worker["pid"], signal.SIGKILL)
    lab.wait_for_function("window.heard.includes('attempt 2')")
    gate.touch()
    lab.wait_for_function("window.done !== null")
    assert lab.evaluate("window.done.response_payload.attempt") == 2


def test_a_restarted_gateway_is_found_again(lab: Page, dev: Dev, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    submit(lab, {"kind": "gate", "payload": {"file": str(gate)}})
    lab.wait_for_function("window.heard.includes('waiting')")
    dev.down(signal.SIGKILL)
    gate.touch()
    dev.up()
    lab.wait_for_function("window.done !== null", timeout=120_000)
    assert lab.evaluate("window.done.response_payload.answer") == "through"


def test_an_expired_token_is_replaced_and_the_task_goes_on(lab: Page, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    submit(lab, {"kind": "gate", "payload": {"file": str(gate)}})
    lab.wait_for_function("window.heard.includes('waiting')")
    before = lab.evaluate("lab.supabase.auth.getSession().then(({ data }) => data.session.access_token)")
    lab.evaluate("lab.supabase.auth.refreshSession()")
    until(
        lambda: (
            lab.evaluate("lab.supabase.auth.getSession().then(({ data }) => data.session.access_token)")
            != before
        )
    )
    gate.touch()
    lab.wait_for_function("window.done !== null")


def test_the_lines_that_dev_prints_work_as_they_stand(lab: Page, dev: Dev) -> None:
    lines = "\n".join(_snippet(dev.url, dev.publishable_key))
    with lab.expect_console_message(lambda message: message.text.startswith("completed")):
        lab.evaluate(f"(async () => {{ const {{ createClient }} = lab;\n{lines}\n}})()")


def test_the_guides_component_works_with_only_its_import_changed(page: Page, served: str, dev: Dev) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{served}/pages/seed/index.html?{dev.query}")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("Your question here")).to_be_visible()
    until(lambda: any(line.startswith("Task completed:") for line in said))
    assert sum(line.startswith("Task completed:") for line in said) == 1


def test_the_example_chats(page: Page, served: str) -> None:
    page.goto(f"{served}/chat/index.html")
    page.get_by_label("Question").fill("What is a queue?")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("li .answer")).to_contain_text("What is a queue?")
    expect(page.get_by_role("button", name="Ask")).to_be_visible()
