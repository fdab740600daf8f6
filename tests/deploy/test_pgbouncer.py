"""A real PgBouncer takes the example, and a worker works through it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from agent_worker.client import Client
from tests.cli.program import Program, until
from tests.deploy.files import DEPLOY

INI = DEPLOY / "pgbouncer.ini"
PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
PREPARES = (1, 21)
"""The first version that knows max_prepared_statements."""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not here")]


@dataclass(frozen=True, slots=True)
class Pooler:
    """A running PgBouncer in front of a test's database."""

    server: str
    port: int

    def url(self, database: str) -> str:
        return make_conninfo(self.server, host="127.0.0.1", port=self.port, dbname=database)


def version() -> tuple[int, ...]:
    told = subprocess.run([str(PROGRAM), "--version"], capture_output=True, text=True, check=True).stdout
    (number,) = re.findall(r"PgBouncer (\d+\.\d+)", told)
    return tuple(map(int, number.split(".")))


def configured(database_url: str, folder: Path, port: int) -> str:
    """The example, with this test's database, port and users."""
    given = conninfo_to_dict(database_url)
    host, server_port = given.get("host") or "127.0.0.1", given.get("port") or 5432
    text = INI.read_text()
    for line, ours in (
        (
            "host=127.0.0.1 port=5432 dbname=postgres",
            f"host={host} port={server_port} dbname={given['dbname']}",
        ),
        ("listen_port = 6432", f"listen_port = {port}"),
        ("auth_file = /etc/pgbouncer/userlist.txt", f"auth_file = {folder / 'userlist.txt'}"),
    ):
        assert line in text
        text = text.replace(line, ours)
    if version() < PREPARES:
        text = re.sub(r"^max_prepared_statements = .*$", "", text, flags=re.MULTILINE)
    return text


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2) as conn:
            return conn.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


@pytest.fixture
def pooler(database_url: str) -> Iterator[Pooler]:
    folder = Path(tempfile.mkdtemp(prefix="agent-worker-pgbouncer-"))
    folder.chmod(0o755)  # PgBouncer refuses to be root and reads its files as another account
    port, given = free_port(), conninfo_to_dict(database_url)
    (folder / "pgbouncer.ini").write_text(configured(database_url, folder, port))
    (folder / "userlist.txt").write_text(f'"{given["user"]}" "{given.get("password", "")}"\n')
    prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*prefix, str(PROGRAM), str(folder / "pgbouncer.ini")], stdout=log, stderr=log, cwd="/"
        )
    found = Pooler(database_url, port)
    try:
        until(lambda: process.poll() is not None or answers(found.url("agent_worker")))
        assert process.poll() is None, (folder / "log").read_text()
        yield found
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def test_each_database_has_the_mode_the_page_says(pooler: Pooler) -> None:
    modes = {}
    for name in ("agent_worker", "agent_worker_session"):
        with psycopg.connect(pooler.url(name), autocommit=True, prepare_threshold=None) as conn:
            conn.execute("LISTEN agent_worker")
            others = [psycopg.connect(pooler.url(name), autocommit=True) for _ in range(3)]
            pids = set()
            for each in (conn, *others, conn):
                row = each.execute("SELECT pg_backend_pid()").fetchone()
                assert row is not None
                pids.add(row[0])
            modes[name] = len(pids)
            for each in others:
                each.close()
    assert modes == {"agent_worker": 1, "agent_worker_session": 4}


def test_a_worker_hears_notifications_through_the_session_database(pooler: Pooler, tmp_path: Path) -> None:
    """It would not look by itself for a minute."""
    program = Program(tmp_path, pooler.url("agent_worker_session"))
    try:
        worker = program.start("run", "--log-level", "debug", env={"AGENT_WORKER_POLL_INTERVAL_S": "60"})
        worker.until("worker.started")
        worker.until("listener.connected")
        for _ in range(3):
            assert program("check", "--timeout-s", "20").code == 0
        assert worker.events("listener.lost") == []
        worker.terminate()
        assert worker.wait() == 0
    finally:
        program.stop()


def test_workers_poll_through_the_transaction_database_and_mix_nothing_up(
    pooler: Pooler, tmp_path: Path
) -> None:
    """Before 1.21, statements that two processes prepare under one name meet on the same server connections."""
    program = Program(tmp_path, pooler.url("agent_worker"))
    try:
        workers = program.start("run", "--processes", "2", "--concurrency", "3")
        workers.until("worker.started", 2)
        with Client(pooler.server) as client:
            for _ in range(10):
                answers = [client.submit("hello", kind="echo", max_attempts=1) for _ in range(8)]
                assert [client.wait(task_id, timeout_s=20).answer for task_id in answers] == ["hello"] * 8
        workers.until("listener.pooled", 2)
        assert len(workers.events("listener.pooled")) == 2, "each process says it once"
        assert workers.events("listener.lost") == workers.events("loop.failed") == []
        workers.terminate()
        assert workers.wait() == 0
    finally:
        program.stop()
