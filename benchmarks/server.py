"""The one PostgreSQL that everybody is measured on, its databases, and the facts about it and the machine."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.sql import SQL, Identifier

from agent_worker.embedded import EmbeddedPostgres
from agent_worker.embedded.places import remove_data
from benchmarks.contestants.contestant import Connection, Contestant

_SETTINGS = (
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "wal_level",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "autovacuum",
    "autovacuum_naptime",
    "max_connections",
    "jit",
)


@dataclass(frozen=True, slots=True)
class Server:
    """A running PostgreSQL of this benchmark.

    Attributes:
        url: Of its maintenance database.
    """

    url: str

    def connect(self, database: str = "postgres") -> Connection:
        """Open a connection in autocommit."""
        return psycopg.connect(self.database_url(database), autocommit=True, application_name="benchmark")

    def database_url(self, database: str) -> str:
        """Name a database on this server."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def prepare(self, contestant: Contestant) -> None:
        """Make the template that each run of a contestant begins with: its schema, and no tasks."""
        name = _template(contestant)
        self._create(name, template="template0")
        contestant.install(self.database_url(name))

    @contextlib.contextmanager
    def database(self, contestant: Contestant, *, prefix: str = "run") -> Iterator[str]:
        """Yield the name of a fresh copy of a contestant's template; dropped afterwards, whoever is connected."""
        name = f"{prefix}_{contestant.name.replace('-', '_')}"
        self._create(name, template=_template(contestant))
        try:
            yield name
        finally:
            self._drop(name)

    def checkpoint(self) -> None:
        """Write everything down, so that no run pays for the one before it."""
        with self.connect() as conn:
            conn.execute("CHECKPOINT")

    def facts(self) -> dict[str, str]:
        """Return the settings that matter, and the machine."""
        with self.connect() as conn:
            version = conn.execute("SELECT version()").fetchone()
            rows = conn.execute(
                "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name", [list(_SETTINGS)]
            ).fetchall()
        assert version is not None
        return {"postgres": str(version[0]), **{str(name): str(value) for name, value in rows}, **_machine()}

    def _create(self, name: str, *, template: str) -> None:
        self._drop(name)
        with self.connect() as conn:
            conn.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template)))

    def _drop(self, name: str) -> None:
        with self.connect() as conn:
            conn.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))


@contextlib.contextmanager
def running_server(data_dir: Path) -> Iterator[Server]:
    """Start a PostgreSQL of our own with its data in `data_dir`, and leave nothing of it behind."""
    try:
        with EmbeddedPostgres.start_or_join(data_dir, database="postgres") as postgres:
            assert postgres.owned, f"another benchmark runs on {data_dir}"
            yield Server(postgres.url)
    finally:
        remove_data(data_dir)
        shutil.rmtree(data_dir, ignore_errors=True)


def _template(contestant: Contestant) -> str:
    return f"template_{contestant.name.replace('-', '_')}"


def _machine() -> dict[str, str]:
    cpu = _line("/proc/cpuinfo", "model name")
    memory_kib = _line("/proc/meminfo", "MemTotal").split(" ")[0]
    return {
        "cpu": f"{os.cpu_count()} × {cpu}",
        "memory": f"{int(memory_kib) / 2**20:.0f} GiB" if memory_kib else "",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": sys.version.split(" ")[0],
        "load_before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _line(path: str, name: str) -> str:
    """Return the value of the first `name: value` in a file of /proc; empty where there is no such file."""
    with contextlib.suppress(OSError):
        for line in Path(path).read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(name):
                return line.partition(":")[2].strip()
    return ""
