"""Start the server of a data directory, or join the one that runs."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from agent_worker.domain.errors import ConfigurationError, DatabaseUnavailable
from agent_worker.embedded import guard
from agent_worker.embedded.accounts import account_for
from agent_worker.embedded.binaries import require_binaries
from agent_worker.embedded.cluster import advice, create, major_of, reset_password
from agent_worker.embedded.launch import (
    START_TIMEOUT_S,
    GuardedServer,
    forget_dead_server,
    launch,
    postmaster_pid,
    serves,
)
from agent_worker.embedded.locks import POLL_S, cluster_lock, decision_lock, is_cluster_free
from agent_worker.embedded.places import Place, open_place
from agent_worker.embedded.state import HOST, USER, ServerState, server_url

DECISION_TIMEOUT_S = START_TIMEOUT_S + 30.0
"""Longest wait for another process that starts the server: longer than a start may take."""

ORPHAN_S = guard.TOTAL_S + 2.0
"""Seconds a guard has to end a server whose owner is gone; after that we ask the server ourselves."""

GONE_TIMEOUT_S = ORPHAN_S + guard.FAST_S
CONNECT_TIMEOUT_S = 5

_WRONG_PASSWORD = "password authentication failed"  # noqa: S105 - PostgreSQL's words


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedPostgres:
    """A running PostgreSQL that needs no account, no Docker and no installation.

    Use it as a context manager, or call `stop`. The server also ends with the process that started it, even
    when that is killed, and then takes joined processes' connections with it.

    Attributes:
        url: `postgresql://postgres:PASSWORD@127.0.0.1:PORT/DATABASE`; the password is random for each cluster,
            the port stays the same from start to start while it is free.
        owned: Whether this call started the server, so that `stop` stops it.
        version: As PostgreSQL says it: `18.6`.
        startup_s: Seconds until it answered: about 0.6 with a new cluster, 0.06 with an old one, 0.01 to join.

    Example:
        >>> with EmbeddedPostgres.start_or_join(Path(".agent-worker")) as postgres:
        ...     connection = psycopg.connect(postgres.url)
    """

    url: str = field(repr=False)
    owned: bool
    version: str
    startup_s: float
    _server: GuardedServer | None = field(repr=False)

    @classmethod
    def start_or_join(cls, data_dir: Path, *, database: str = "agent_worker") -> Self:
        """Return a server of `data_dir` that answers; blocks until then.

        May be called from any thread; in an event loop use `asyncio.to_thread`.

        Args:
            data_dir: Directory of our files, created if need be. As root the data may lie elsewhere, with a link
                in it (see `places`).
            database: Created if absent.

        Raises:
            ConfigurationError: There is no PostgreSQL here, or none of the version that made the data; or the
                directory cannot be used; or this is Windows.
            DatabaseUnavailable: initdb or the server failed, or another process is in the way. The message ends
                with what the server said last and what to do.
        """
        began = time.monotonic()
        if sys.platform == "win32":
            raise ConfigurationError(
                "the embedded PostgreSQL does not run on Windows · it needs POSIX process control · set DATABASE_URL"
            )
        place = open_place(data_dir)
        try:
            with decision_lock(place.lock, timeout_s=DECISION_TIMEOUT_S):
                state, server = _join_or_start(place, database)
        except OSError as exc:  # a file of ours: disk full, read-only, removed meanwhile
            raise DatabaseUnavailable(
                f"the embedded PostgreSQL in {place.data_dir} cannot be started · {exc} · {advice(str(exc), place)}"
            ) from exc
        return cls(
            url=server_url(password=state.password, port=state.port, database=database),
            owned=server is not None,
            version=state.version,
            startup_s=time.monotonic() - began,
            _server=server,
        )

    def stop(self) -> None:
        """Stop the server if this object owns it: fast, then immediately, at most about 20 s. Twice is fine."""
        if self._server is not None:
            self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def find_running(data_dir: Path) -> str | None:
    """Return the URL of the server that runs on `data_dir`, with its owner's database, or None.

    Starts nothing, waits for nothing: a server that is starting or stopping counts as not running.
    """
    try:
        state = ServerState.read(Place(Path(os.path.realpath(data_dir))).state)
        if state is None or not state.has_owner:
            return None
        _connect(state.password, state.port).close()
    except (PermissionError, psycopg.Error):
        return None
    return state.url


def _join_or_start(place: Place, database: str) -> tuple[ServerState, GuardedServer | None]:
    """Decide, holding the decision lock; the server is None when it was joined."""
    last = ServerState.read(place.state)
    major = major_of(place)
    running = _wait_for_server_or_its_end(place, last) if major is not None else None
    if running is not None:
        _prepare(running.password, running.port, database)
        return running, None
    return _start(place, last, database, major=major)


def _wait_for_server_or_its_end(place: Place, last: ServerState | None) -> ServerState | None:
    """Return the server once it answers, or None once no process of it is left.

    In between lies a server that is about to end, because its owner did: that is waited for. Should its guard
    have been killed too where the kernel offers no second wall (macOS), the server is asked to end here.

    Raises:
        DatabaseUnavailable: Somebody holds the cluster who neither answers nor ends.
    """
    began = time.monotonic()
    asked = False
    while not is_cluster_free(place.cluster):
        waited_s = time.monotonic() - began
        if waited_s > GONE_TIMEOUT_S:
            raise DatabaseUnavailable(
                f"the database in {place.cluster} is in use · its server neither answers nor ends (another container "
                f"may run it, or all its connections are taken) · stop its owner, or look into {place.log.path}"
            )
        if last is not None and last.has_owner:
            if _answers(last):
                return last
        elif waited_s > ORPHAN_S and not asked:
            asked = True
            _ask_to_end(place.cluster)
        time.sleep(POLL_S)
    return None


def _start(
    place: Place, last: ServerState | None, database: str, *, major: int | None
) -> tuple[ServerState, GuardedServer]:
    account = account_for(place.cluster)
    binaries = require_binaries(account, cluster=place.cluster, major=major)
    password = last.password if last is not None else None
    if major is None:
        password = create(place, binaries, account)
    with cluster_lock(place.cluster) as lock:
        forget_dead_server(place)
        if password is None:
            password = reset_password(place, binaries, account)
        server = launch(
            place, binaries, account, lock=lock, preferred_port=last.port if last is not None else None
        )
    try:
        version = _prepare(password, server.port, database)
        state = ServerState(
            url=server_url(password=password, port=server.port, database=database),
            password=password,
            port=server.port,
            pid=server.pid,
            owner_pid=os.getpid(),
            version=version,
        )
        state.write(place.state)
    except BaseException:  # Ctrl-C as well: nobody else would stop it before this process ends
        server.stop()
        raise
    return state, server


def _prepare(password: str, port: int, database: str) -> str:
    """Create the database if absent and return the server's version.

    Raises:
        DatabaseUnavailable: The server refused.
    """
    try:
        with _connect(password, port) as connection:
            known = connection.execute("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", [database])
            if known.fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
            # Debian says "15.14 (Debian 15.14-0+deb12u1)".
            return (connection.info.parameter_status("server_version") or "").split(" ")[0]
    except psycopg.Error as exc:
        fix = "look into postgres.log in the data directory"
        if _WRONG_PASSWORD in str(exc):  # psycopg has no SQLSTATE for a refused connection
            fix = "remove postgres.json from the data directory: it belongs to another database"
        raise DatabaseUnavailable(
            f"the embedded PostgreSQL on port {port} refused us · {str(exc).strip()} · {fix}, and start again"
        ) from exc


def _answers(state: ServerState) -> bool:
    try:
        _connect(state.password, state.port).close()
    except psycopg.Error:
        return False
    return True


def _connect(password: str, port: int) -> psycopg.Connection:
    # All spelled out, because PGSSLMODE and its like are set on machines that also talk to hosted databases.
    return psycopg.connect(
        host=HOST,
        port=port,
        user=USER,
        password=password,
        dbname="postgres",
        connect_timeout=CONNECT_TIMEOUT_S,
        sslmode="disable",
        gssencmode="disable",
        options="",
        application_name="agent-worker embedded",
        autocommit=True,
    )


def _ask_to_end(cluster: Path) -> None:
    pid = postmaster_pid(cluster)
    if pid is not None and serves(pid, cluster):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
