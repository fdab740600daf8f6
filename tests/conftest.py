"""A real PostgreSQL for everybody: migrated once per process, copied for each test.

The server is the embedded one, a new cluster per test process, unless AGENT_WORKER_TEST_DATABASE_URL names
another (as a superuser): that is how the suite runs against an older PostgreSQL.
"""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, settings

from agent_worker.db.connection import Database
from agent_worker.embedded import EmbeddedPostgres
from agent_worker.embedded.places import remove_data
from agent_worker.testing.openai_server import ScriptedOpenAI
from agent_worker.testing.postgres import TestDatabases
from tests.rest.project import StandIn

VARIABLE = "AGENT_WORKER_TEST_DATABASE_URL"

# What is searched for are wrong answers, not slow ones: how long one takes is up to what else the machine does.
settings.register_profile(
    "any-machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-schema",
        action="store_true",
        help="write tests/migrations/schema.txt anew from the migrations",
    )
    parser.addoption("--chaos-seed", type=int, help="repeat what tests/chaos chose at random")
    parser.addoption("--minutes", type=float, help="how long tests/chaos goes on; a few rounds unless given")


@pytest.fixture(scope="session", autouse=True)
def given_server() -> Iterator[str | None]:
    """The server that the environment names; gone from there, because the program refuses names it does not know."""
    with pytest.MonkeyPatch.context() as patch:
        given = os.environ.get(VARIABLE)
        patch.delenv(VARIABLE, raising=False)
        yield given


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Commands that run inside a test set levels and handlers of the whole process; the next test has its own."""
    root, structured = logging.getLogger(), structlog.get_config()
    level, handlers = root.level, root.handlers[:]
    yield
    structlog.configure(**structured)
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture(scope="session")
def postgres_url(given_server: str | None) -> Iterator[str]:
    """A server, as a superuser; its databases are other tests' too."""
    if given_server:
        yield given_server
        return
    base = Path(tempfile.mkdtemp(prefix="agent-worker-test-"))
    base.chmod(0o711)  # root's server runs as another account, which has to walk through
    data_dir = base / ".agent-worker"
    try:
        with EmbeddedPostgres.start_or_join(data_dir) as postgres:
            _forget_durability(postgres.url)
            yield postgres.url
        remove_data(data_dir)
    finally:
        shutil.rmtree(base)


def _forget_durability(url: str) -> None:
    # Nobody cuts the power in a test, and dropping a database waits for the disk otherwise. Killed servers still
    # recover: what a process has written is in the kernel's hands.
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("ALTER SYSTEM SET fsync = off")
        conn.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="session")
def databases(postgres_url: str) -> Iterator[TestDatabases]:
    with TestDatabases(postgres_url) as made:
        yield made


@pytest.fixture
def database_url(databases: TestDatabases) -> Iterator[str]:
    """A migrated database of this test's own."""
    with databases.migrated() as url:
        yield url


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """An open pool to this test's database; four connections, so that a test can hold one and ask with another."""
    async with Database(database_url, max_size=4) as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[ScriptedOpenAI]:
    """A model provider that follows a script."""
    with ScriptedOpenAI() as scripted:
        yield scripted


@pytest.fixture
def stand_in(database_url: str) -> Iterator[StandIn]:
    """A project without Realtime over this test's database."""
    with StandIn(database_url) as started:
        yield started


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the processors of worker processes note what they do; the variable LEDGER tells them."""
    path = tmp_path / "ledger"
    path.touch()
    monkeypatch.setenv("LEDGER", str(path))
    return path


@pytest.fixture(scope="session")
def normal_user() -> tuple[list[str], int]:
    """A command prefix that runs Python as a normal user, and the uid its files belong to, seen from here.

    Root's interpreter may lie where other users cannot walk. A user namespace then helps: inside, the process is
    an unprivileged user by every measure PostgreSQL takes, and still owns what root owns.
    """
    if os.geteuid() != 0:
        return [], os.geteuid()
    uid, gid = pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid
    ways = (
        (["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"], uid),
        (["unshare", "--user", f"--map-user={uid}", f"--map-group={gid}"], 0),
    )
    for prefix, owner in ways:
        # Twice, because setpriv still has root's rights while it starts the first one.
        code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import agent_worker.embedded'], check=True)"
        probe = [*prefix, sys.executable, "-c", code]
        if (
            shutil.which(prefix[0])
            and subprocess.run(probe, capture_output=True, check=False).returncode == 0
        ):
            return prefix, owner
    pytest.skip(
        "this Python cannot be run as a normal user: it lies in root's home, and there are no user namespaces"
    )
