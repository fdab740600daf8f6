"""The database of a command that stays."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import structlog

from agent_worker import app
from agent_worker.domain.errors import AgentWorkerError
from agent_worker.embedded import EmbeddedPostgres, find_running
from agent_worker.settings import Settings

logger = structlog.get_logger(__name__)

LOOK_S = 1.0
"""Seconds between looks at a server that somebody else owns."""


@contextlib.contextmanager
def lasting_database(settings: Settings) -> Iterator[str]:
    """Yield the URL of the database to use, for as long as the block lasts, whoever else ends.

    The embedded server ends with the process that started it. That may be a `submit --wait` in another terminal,
    and a worker must outlive it: so a joined server is taken over when its owner has gone.

    Raises:
        ConfigurationError: Only SUPABASE_URL is set; or no PostgreSQL is installed, or its data cannot be used.
        DatabaseUnavailable: It does not start.
    """
    app.require_connection(settings)
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    with _Heir(settings.data_dir, app.embedded(settings.data_dir)) as heir:
        yield heir.url


class _Heir:
    """Holds an embedded server, and starts it again when its former owner took it away."""

    def __init__(self, data_dir: Path, server: EmbeddedPostgres) -> None:
        self._data_dir = data_dir
        self._server = server
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="embedded-heir", daemon=True)
        self.url = server.url

    def __enter__(self) -> Self:
        if not self._server.owned:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._server.stop()

    def _watch(self) -> None:
        while not self._server.owned and not self._leaving.wait(LOOK_S):
            if find_running(self._data_dir) is None:
                self._take_over()

    def _take_over(self) -> None:
        try:
            self._server = app.embedded(self._data_dir)
        except AgentWorkerError as exc:
            logger.warning("database.not_taken_over", error=str(exc))
            return
        if self._server.url != self.url:  # its port went to another program meanwhile
            logger.error("database.moved", advice="start this command again")
        logger.info("database.taken_over", owned=self._server.owned)
