"""Keep hearing of changes, whatever happens to the connection, by the best way that the server allows."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import psycopg
import structlog

from agent_worker.db.connection import Database
from agent_worker.db.feed.pgoutput import FeedCorrupt, Relation, RowChange
from agent_worker.db.feed.poll import Poll
from agent_worker.db.feed.source import Source
from agent_worker.db.feed.stream import Stream
from agent_worker.db.feed.tables import PUBLICATION
from agent_worker.db.feed.triggers import Triggers
from agent_worker.domain.backoff import Backoff
from agent_worker.domain.errors import AgentWorkerError, ConfigurationError

logger = structlog.get_logger(__name__)

MESSAGES_PUBLICATION = "supabase_realtime_messages_publication"
"""Has `realtime.messages`, where a project has broadcasts from the database."""

PUBLICATIONS = (PUBLICATION, MESSAGES_PUBLICATION)

SHORTEST_BACKOFF_S = 0.05
STREAM_ATTEMPTS = 2
"""Failures to begin a stream in a row, with a server that answers otherwise, after which it is polled."""
PUBLICATIONS_INTERVAL_S = 10.0

_BACKOFF = Backoff(base_s=0.5, max_s=5.0)
_LOSSES = (psycopg.Error, OSError, TimeoutError, FeedCorrupt, AgentWorkerError)


class Way(enum.Enum):
    """How changes come."""

    NONE = "none"
    STREAMING = "streaming"
    POLLING = "polling"
    TRIGGERS = "triggers"


@dataclass(frozen=True, slots=True)
class FeedState:
    """How the feed stands.

    Attributes:
        way: How changes come at this moment; `NONE` while they do not.
        detail: Why so, for a person; empty while they stream.
    """

    way: Way
    detail: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether what commits now will be told."""
        return self.way is not Way.NONE


class Feed:
    """Hands on every committed row of the publications, in the order of the commits, for as long as it runs.

    What commits while there is no connection is never told: a slot that waited for a gateway would make the server keep
    its log for it. `sessions` counts the connections, so that a consumer can tell that it may have missed something.

    Args:
        database_url: Of the database.
        db: For what is asked besides; open.
        wanted: Whether anybody follows a table; asked for each row, so it is quick.
        consume: Takes rows; the next ones are read when it is done. Must not raise.
        publications_interval_s: Seconds between two looks whether a publication was made or removed.
    """

    def __init__(
        self,
        database_url: str,
        db: Database,
        *,
        wanted: Callable[[Relation], bool],
        consume: Callable[[Sequence[RowChange]], Awaitable[None]],
        publications_interval_s: float = PUBLICATIONS_INTERVAL_S,
    ) -> None:
        self._database_url = database_url
        self._db = db
        self._wanted = wanted
        self._consume = consume
        self._publications_interval_s = publications_interval_s
        self._publications: tuple[str, ...] = ()
        self._stream_failures = 0
        self._state = FeedState(Way.NONE, "not started")
        self._is_up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.sessions = 0

    @property
    def state(self) -> FeedState:
        """How it stands at this moment."""
        return self._state

    async def start(self) -> None:
        """Begin in the background; twice is fine. Never fails because of the database: see `state`."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="agent-worker-feed")

    async def stop(self) -> None:
        """End; twice is fine, unstarted is fine."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait({task})
        self._down("stopped")

    async def ready(self) -> None:
        """Return once whatever commits from now on is told; waits while the database is away."""
        await self._is_up.wait()

    async def _run(self) -> None:
        failures = 0
        while True:
            way = Way.NONE
            try:
                way = await self._choose()
                source = self._source(way)
                try:
                    await self._open(way, source)
                    failures = 0
                    await self._read(source)
                finally:
                    self._down("the connection is over")
                    await source.close()
            except _LOSSES as exc:
                failures += 1
                error = str(exc).partition("\n")[0] or type(exc).__name__
                self._down(error)
                if failures == 1 or way is not Way.NONE:  # an outage is told once
                    logger.warning("feed.lost", way=way.value, error=error)
            except Exception:
                failures += 1
                logger.exception("feed.failed", way=way.value)
            roll = random.random()  # noqa: S311 - spreads load, guards nothing
            await asyncio.sleep(SHORTEST_BACKOFF_S + _BACKOFF.delay_s(failures, roll=roll))

    async def _open(self, way: Way, source: Source) -> None:
        try:
            await source.open(self._tell)
        except psycopg.Error:
            # After a poll that failed or ended, a stream is tried again first.
            self._stream_failures = self._stream_failures + 1 if way is Way.STREAMING else 0
            raise
        self._stream_failures = 0
        self._up(way)

    async def _read(self, source: Source) -> None:
        watching = asyncio.create_task(self._publications_changed(), name="agent-worker-feed-publications")
        try:
            while not watching.done():
                rows = await source.read()
                if rows:
                    await self._consume(rows)
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    async def _choose(self) -> Way:
        """Pick the way, and learn which publications there are.

        Raises:
            ConfigurationError: There is no publication at all.
            DatabaseUnavailable: Nobody answers.
        """
        ((is_logical, may_replicate, publications),) = await self._db.call(
            "feed_ways", {"publications": list(PUBLICATIONS)}
        )
        self._publications = tuple(publications)
        if not publications:
            raise ConfigurationError(f"there is no publication {PUBLICATION} · run: agent-worker migrate")
        if is_logical and may_replicate:
            return Way.STREAMING if self._stream_failures < STREAM_ATTEMPTS else Way.POLLING
        return Way.TRIGGERS

    def _source(self, way: Way) -> Source:
        match way:
            case Way.STREAMING:
                return Stream(self._database_url, self._db, self._publications, self._wanted)
            case Way.POLLING:
                return Poll(self._database_url, self._db, self._publications, self._wanted)
            case _:
                return Triggers(self._database_url, self._db, self._publications, self._wanted)

    async def _publications_changed(self) -> None:
        """Return once a publication was made or removed: a session reads those that it began with."""
        while True:
            await asyncio.sleep(self._publications_interval_s)
            with contextlib.suppress(AgentWorkerError):
                ((_, _, publications),) = await self._db.call(
                    "feed_ways", {"publications": list(PUBLICATIONS)}
                )
                if tuple(publications) != self._publications:
                    logger.info("feed.publications_changed", publications=publications)
                    return

    def _tell(self, detail: str) -> None:
        if self._state.detail != detail:
            logger.warning("feed.waiting", detail=detail)
        self._state = FeedState(Way.NONE, detail)

    def _up(self, way: Way) -> None:
        self.sessions += 1
        self._state = FeedState(way, _WHY[way])
        logger.info("feed.up", way=way.value, publications=self._publications)
        self._is_up.set()

    def _down(self, detail: str) -> None:
        self._is_up.clear()
        self._state = FeedState(Way.NONE, detail)


_WHY = {
    Way.STREAMING: "",
    Way.POLLING: "the replication protocol does not come through, perhaps because of a pooler",
    Way.TRIGGERS: "wal_level is not logical, or this role may not replicate",
}
