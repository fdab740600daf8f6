"""`agent-worker migrate`: bring a database to this release's schema, or show where it stands."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import typer

from agent_worker import app
from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import print_json
from agent_worker.cli.session import read_settings
from agent_worker.db.migrate import MigrationStatus, status
from agent_worker.db.migrate import migrate as apply
from agent_worker.db.migration_files import Migration


def migrate(
    *,
    show_status: Annotated[
        bool, typer.Option("--status", help="Show what is applied and what is not; change nothing.")
    ] = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Create or update the tables.

    Safe to run again, and on several machines at once; `supabase db push` may have begun, or may go on. On a plain
    PostgreSQL the first run needs a superuser, for the roles and functions that every Supabase project has.
    """
    settings = read_settings(database_url=database_url)
    app.require_database(settings)
    with app.database(settings) as url:
        if show_status:
            _show_status(url, as_json=as_json)
        else:
            _apply(url, as_json=as_json)


def _apply(database_url: str, *, as_json: bool) -> None:
    began = last = time.perf_counter()

    def tell(migration: Migration) -> None:
        nonlocal last
        now = time.perf_counter()
        if not as_json:
            print(f"  {migration.version}  {migration.name:<40}  {(now - last) * 1000:>6.0f} ms")
        last = now

    report = asyncio.run(apply(database_url, on_applied=tell))
    if as_json:
        print_json(report.as_json())
        return
    if report.bootstrapped:
        print(
            "also made: the roles anon, authenticated and service_role, and the schema auth, as on Supabase"
        )
    if report.applied:
        count = "1 file" if len(report.applied) == 1 else f"{len(report.applied)} files"
        took_s = time.perf_counter() - began
        print(f"{report.target} · applied {count} in {took_s:.1f} s · the schema is at {report.version}")
    else:
        print(f"{report.target} · nothing to do · the schema is at {report.version}")


def _show_status(database_url: str, *, as_json: bool) -> None:
    found = asyncio.run(status(database_url))
    if as_json:
        print_json(found.as_json())
        return
    print(f"{found.target} · {_verdict(found)}")
    rows = [
        *((migration, "applied") for migration in found.applied),
        *((migration, "pending") for migration in found.pending),
        *((migration, "not ours") for migration in found.unknown),
    ]
    for migration, state in sorted(rows, key=lambda row: row[0].version):
        print(f"  {migration.version}  {migration.name:<40}  {state}")


def _verdict(found: MigrationStatus) -> str:
    if found.pending:
        count = "1 migration" if len(found.pending) == 1 else f"{len(found.pending)} migrations"
        return f"{count} to apply · run: agent-worker migrate"
    if found.version is None or found.serves_since is None:
        return "the history lists every migration, but the schema is gone · run: agent-worker migrate"
    if found.release < found.serves_since:
        return f"newer than this release ({found.version}, known {found.release}) · upgrade agent-worker"
    return f"up to date · the schema is at {found.version}"
