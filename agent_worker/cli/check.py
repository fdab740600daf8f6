"""`agent-worker check`: does a task get an answer?"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import Annotated

import typer

from agent_worker import __version__, app
from agent_worker.cli.exits import DATABASE, TASK_FAILED
from agent_worker.cli.findings import Finding, Verdict, report
from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.session import read_settings
from agent_worker.cli.timeline import precise
from agent_worker.client import AsyncClient, TaskFailed, WaitTimeout
from agent_worker.db.connection import Database
from agent_worker.db.migrate import check_schema
from agent_worker.db.probe import Probe
from agent_worker.db.report import Report
from agent_worker.domain.errors import (
    AgentWorkerError,
    ConfigurationError,
    DatabaseUnavailable,
    SchemaOutOfDate,
)
from agent_worker.domain.records import TaskResult

KIND = "echo"


def check(
    *,
    timeout_s: Annotated[
        float, typer.Option(min=0.1, max=600, metavar="S", help="Longest wait for the answer.")
    ] = 10.0,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Send a task through a live worker and time it.

    Looks at the connection, the schema and the role's rights, then submits an echo task and waits for its answer.
    Exits with 3 when the database is the problem, with 1 when no worker answers in time. --json prints
    `{"ok", "findings": [{"name", "verdict", "text", "fix"}]}`.
    """
    settings = read_settings(database_url=database_url)
    app.require_database(settings)
    with app.database(settings) as url:
        if settings.database_url is None:
            asyncio.run(app.ready_database(url, is_ours=True))
        found = asyncio.run(_check(url, timeout_s))
    report(found.findings, as_json=as_json, exit_code=found.exit_code)


@dataclass(slots=True)
class _Checked:
    findings: list[Finding] = field(default_factory=list)
    exit_code: int = DATABASE

    def ok(self, name: str, text: str) -> None:
        self.findings.append(Finding(name, Verdict.OK, text))

    def failed(self, name: str, text: str, fix: str | None) -> None:
        self.findings.append(Finding(name, Verdict.FAILED, text, fix))


async def _check(url: str, timeout_s: float) -> _Checked:
    checked = _Checked()
    name = "connection"
    try:
        async with Database(url) as db:
            facts = await Probe(db).server_facts()
            checked.ok(name, f"PostgreSQL {facts.version} at {db.target} · {precise(facts.round_trip_s)}")
            name = "schema"
            await check_schema(db)
            checked.ok(name, f"fits agent-worker {__version__}")
            name = "rights"
            if missing := await Probe(db).missing_rights():
                text = f"the role {facts.role} has no right {missing[0]}"
                checked.failed(name, text, "connect as the owner of the tables or as service_role")
                return checked
            checked.ok(name, f"the role {facts.role} may insert, read and work")
            name = "worker"
            offering = (await Report(db).status()).offering(KIND)
    except (DatabaseUnavailable, SchemaOutOfDate, ConfigurationError) as exc:
        checked.findings.append(Finding.of_error(name, exc))
        return checked
    checked.exit_code = TASK_FAILED
    if not offering:
        checked.failed(name, f"no live worker offers {KIND}", "start one: agent-worker run")
        return checked
    count = "1 worker offers" if len(offering) == 1 else f"{len(offering)} workers offer"
    checked.ok(name, f"{count} {KIND}")
    await _round_trip(checked, url, timeout_s)
    return checked


async def _round_trip(checked: _Checked, url: str, timeout_s: float) -> None:
    name = "round trip"
    prompt = f"agent-worker check {secrets.token_hex(4)}"
    clock = asyncio.get_running_loop().time
    async with AsyncClient(url, patience_s=min(timeout_s, 5.0)) as client:
        began = clock()
        task_id = await client.submit(prompt, kind=KIND, max_attempts=1, priority=9)
        try:
            result = await client.wait(task_id, timeout_s=timeout_s)
        except WaitTimeout:
            await client.cancel(task_id)
            checked.failed(
                name, f"no answer within {precise(timeout_s)}; the task was cancelled", "agent-worker status"
            )
            return
        except (TaskFailed, AgentWorkerError) as exc:
            checked.failed(name, str(exc), f"agent-worker tasks show {str(task_id)[:8]}")
            return
        took_s = clock() - began
    if result.answer != prompt:
        checked.failed(
            name, "the answer is not what was asked", f"agent-worker tasks show {str(task_id)[:8]}"
        )
        return
    checked.ok(name, f"answered in {precise(took_s)}{_parts(result)}")


def _parts(result: TaskResult) -> str:
    if result.started_at is None or result.finished_at is None:
        return ""
    waited_s = (result.started_at - result.created_at).total_seconds()
    ran_s = (result.finished_at - result.started_at).total_seconds()
    return f" · waited {precise(waited_s)}, ran {precise(ran_s)}"
