"""A PostgreSQL of the test's own, to be stopped in every way there is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from agent_worker.db.migrate import migrate
from agent_worker.embedded import EmbeddedPostgres, find_running
from agent_worker.embedded.places import remove_data


class Server:
    """Starts again on the same port and data, whatever ended it.

    Args:
        data_dir: Of the embedded PostgreSQL.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._postgres = EmbeddedPostgres.start_or_join(data_dir)
        self.url = self._postgres.url
        asyncio.run(migrate(self.url))

    def stop(self) -> None:
        """Shut down fast: clients are cut off, everything is written. Twice is fine."""
        self._postgres.stop()

    def crash(self) -> None:
        """Shut down immediately: nothing more is written, the next start recovers."""
        pid: int = json.loads((self._data_dir / "postgres.json").read_text())["pid"]
        os.kill(pid, signal.SIGQUIT)
        self._postgres.stop()

    def start(self) -> None:
        """Start again, unless it runs: after a crash of one of its processes it recovers by itself.

        Raises:
            DatabaseUnavailable: It cannot; the message ends with what it said last.
        """
        if find_running(self._data_dir) is not None:
            return
        self._postgres.stop()
        self._postgres = EmbeddedPostgres.start_or_join(self._data_dir)
        assert self._postgres.url == self.url, "somebody took its port"

    def execute(self, statement: str) -> None:
        """Run one statement outside of any transaction, on a connection that closes at once."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(statement.encode())

    def set(self, name: str, value: str | None) -> None:
        """Change a setting of the server, or with None reset it; sessions follow by themselves."""
        change = "RESET {}" if value is None else "SET {} = {}"
        statement = sql.SQL("ALTER SYSTEM " + change).format(sql.Identifier(name), value)  # type: ignore[arg-type]
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(statement)
            conn.execute("SELECT pg_reload_conf()")

    def copy(self) -> str:
        """Make a database with this release's schema and return its URL; it goes with the server."""
        name = f"copy_{os.urandom(4).hex()}"
        template = conninfo_to_dict(self.url)["dbname"]
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(str(template))
        )
        with psycopg.connect(self.url, dbname="postgres", autocommit=True) as conn:
            conn.execute(statement)
        return self.url.rpartition("/")[0] + f"/{name}"


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server in a folder of its own, both gone afterwards."""
    base = Path(tempfile.mkdtemp(prefix="agent-worker-chaos-"))
    base.chmod(0o711)  # root's server runs as another account, which has to walk through
    data_dir = base / ".agent-worker"
    try:
        server = Server(data_dir)
        try:
            yield server
        finally:
            server.stop()
        remove_data(data_dir)
    finally:
        shutil.rmtree(base)
