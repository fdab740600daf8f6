"""Graphile Worker, which is written for Node.js."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import LiteralString

from benchmarks.contestants.contestant import Command, Connection, Load, count_by, fill_by

_FOLDER = Path(__file__).parents[1]
_PACKAGE = _FOLDER / "node_modules" / "graphile-worker"
_WORKER = Path(__file__).with_name("graphile.mjs")

FILL: LiteralString = """
    SELECT graphile_worker.add_jobs(
      array_agg(json_populate_record(
        NULL::graphile_worker.job_spec,
        json_build_object('identifier', %(handler)s::text, 'payload', json_build_object('seq', n), 'max_attempts', 25)
      ))
    ) FROM generate_series(1, %(count)s) AS n
"""


class Graphile:
    """Deletes a finished job."""

    name = "graphile-worker"
    keeps = "nothing"
    is_queue = True
    lease_s: float | None = 4 * 3600.0  # "Performance": locked until the 4 hour limit expires

    @property
    def version(self) -> str:
        """As installed by npm."""
        if shutil.which("node") is None or not _PACKAGE.exists():
            return "(there is no Node.js, or npm could not install it)"
        return str(json.loads((_PACKAGE / "package.json").read_text(encoding="utf-8"))["version"])

    def settings(self) -> str:
        """Those of its page "Performance"."""
        node = subprocess.run(
            ["node", "--version"], check=True, capture_output=True, text=True
        ).stdout.strip()
        return (
            f"Node.js {node}, concurrentJobs 24, maxPoolSize 25, localQueue of 500, completeJobBatchDelay 0"
        )

    def install(self, url: str) -> None:
        """As `graphile-worker --schema-only` does."""
        cli = _PACKAGE / "dist" / "cli.js"
        subprocess.run(
            ["node", str(cli), "--schema-only", "-c", url], check=True, stdout=subprocess.DEVNULL, timeout=60
        )

    def fill(self, url: str, handler: str, count: int) -> None:
        """One call of its function for many jobs."""
        fill_by(FILL, url, handler, count)

    def insert(self, handler: str, seq: str) -> str:
        """The function of its page "Adding jobs through SQL"."""
        return f"SELECT graphile_worker.add_job('{handler}', json_build_object('seq', {seq}))"

    def unfinished(self, conn: Connection) -> int:
        """Count what is left."""
        return count_by("SELECT count(*) FROM graphile_worker._private_jobs", conn)

    def add_history(self, conn: Connection, count: int) -> bool:  # noqa: ARG002
        """There is none."""
        return False

    def command(self, url: str, load: Load) -> Command:  # noqa: ARG002 - the environment says it
        """Our module around the library."""
        return Command(["node", str(_WORKER)], {"DATABASE_URL": url})
