"""agent-worker, as `agent-worker run` starts it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import LiteralString

from agent_worker import __version__
from benchmarks.contestants.contestant import Command, Connection, Load, count_by, fill_by

_PROCESSORS = Path(__file__).parents[1] / "processors.py"
_BUILT_IN = ("pipeline",)
"""Kinds that need no processor of this benchmark."""

FILL: LiteralString = """
    INSERT INTO agent_task_requests (kind, request_payload)
    SELECT %(handler)s, jsonb_build_object('seq', n) FROM generate_series(1, %(count)s) AS n
"""
UNFINISHED: LiteralString = """
    SELECT (SELECT count(*) FROM agent_task_requests WHERE status = 'pending' AND run_at IS NULL)
         + (SELECT count(*) FROM agent_task_requests WHERE status IN ('processing', 'waiting'))
"""
HISTORY: LiteralString = """
    INSERT INTO agent_task_requests
      (kind, request_payload, status, response_payload, attempt, worker_id, created_at, started_at, finished_at, updated_at)
    SELECT 'noop', jsonb_build_object('seq', n), 'completed', '{}', 1, '00000000-0000-0000-0000-000000000001',
           began, began, began, began
    FROM generate_series(1, %(count)s) AS n, LATERAL (SELECT now() - interval '1 day' - n * interval '1 ms') AS at (began)
"""


class Ours:
    """One worker process of agent-worker.

    Args:
        concurrency: Tasks at once; None leaves the default, 100.
    """

    keeps = "result"
    is_queue = True
    lease_s: float | None = 30.0

    def __init__(self, name: str, concurrency: int | None = None) -> None:
        self.name = name
        self._concurrency = concurrency

    @property
    def version(self) -> str:
        """Of this tree."""
        return __version__

    def settings(self) -> str:
        """Concurrency is the only one that is ever changed."""
        return f"concurrency {self._concurrency or '100, the default'}"

    def install(self, url: str) -> None:
        """Migrate."""
        from agent_worker.db.migrate import migrate  # noqa: PLC0415 - a worker process needs none of it

        asyncio.run(migrate(url))

    def fill(self, url: str, handler: str, count: int) -> None:
        """Insert rows, as any client does."""
        fill_by(FILL, url, handler, count)

    def insert(self, handler: str, seq: str) -> str:
        """Insert one row."""
        payload = f"jsonb_build_object('seq', {seq})"
        return f"INSERT INTO agent_task_requests (kind, request_payload) VALUES ('{handler}', {payload})"  # noqa: S608 - our own words

    def unfinished(self, conn: Connection) -> int:
        """Count by status."""
        return count_by(UNFINISHED, conn)

    def add_history(self, conn: Connection, count: int) -> bool:
        """Completed tasks of yesterday and before."""
        conn.execute(HISTORY, {"count": count})
        return True

    def command(self, url: str, load: Load) -> Command:
        """The program of the README, with the processor of this benchmark."""
        env = {"DATABASE_URL": url, "AGENT_WORKER_LOG_LEVEL": "warning"}
        concurrency = load.concurrency or self._concurrency
        if concurrency is not None:
            env["AGENT_WORKER_CONCURRENCY"] = str(concurrency)
        if load.lease_s is not None:
            env["AGENT_WORKER_LEASE_S"] = str(load.lease_s)
            env["AGENT_WORKER_HEARTBEAT_S"] = str(load.lease_s / 3)
        argv = [sys.executable, "-m", "agent_worker.cli", "run", "--kinds", load.handler]
        if load.handler not in _BUILT_IN:
            argv += ["--processor", f"{_PROCESSORS}:{'Speaking' if load.handler == 'speak' else 'Measured'}"]
        return Command(argv, env)
