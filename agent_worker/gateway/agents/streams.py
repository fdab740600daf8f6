"""Streams of runs to clients that may read slowly, stop reading, or hang up.

A stream holds one page of rows, and reads the next one when the client has taken it. All streams of a gateway share one
listening connection, and read their rows together.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from typing import TypeVar
from uuid import UUID

import structlog
from starlette.responses import Response

from agent_worker.db.following import Followers
from agent_worker.db.looking import Looking
from agent_worker.db.patience import patiently
from agent_worker.db.runs import Runs
from agent_worker.db.tasks import Following
from agent_worker.domain.caller import Caller, Eyes
from agent_worker.domain.errors import DatabaseUnavailable, GatewayError
from agent_worker.gateway.agents.frames import DONE, HEADERS, frames
from agent_worker.gateway.agents.reading import Reader, Told
from agent_worker.gateway.agents.sending import EventStream
from agent_worker.security.tokens import CLOCK_SKEW_S

logger = structlog.get_logger(__name__)

HEARTBEAT_S = 15.0
"""Clients take a stream that is silent for 60 s for dead."""

MOST_PER_USER = 100
"""Streams of one user at once; each holds a connection. The secret key's are not counted."""

PATIENCE_S = 60.0
"""How long an outage of the database is ridden out in the middle of a stream."""

Value = TypeVar("Value")


class Streams:
    """Makes the streams of a gateway, and ends them when it stops.

    Args:
        runs: Where runs are shown and stopped.
        looking: Reads what they say.
        followers: Tells when there is something to read.
        heartbeat_s: Longest silence.
        now: The present, in seconds since 1970.
    """

    def __init__(
        self,
        runs: Runs,
        looking: Looking,
        followers: Followers,
        *,
        heartbeat_s: float = HEARTBEAT_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._runs = runs
        self._looking = looking
        self._followers = followers
        self._heartbeat_s = heartbeat_s
        self._now = now
        self._stopping = asyncio.Event()
        self._open: Counter[UUID | None] = Counter()

    @property
    def open(self) -> int:
        """How many clients read at this moment."""
        return self._open.total()

    def require_room(self, caller: Caller) -> None:
        """Make sure that a caller may open one more.

        Raises:
            GatewayError: 429, the user reads as many as one may.
        """
        if caller.user_id is not None and self._open[caller.user_id] >= MOST_PER_USER:
            raise GatewayError(
                f"At most {MOST_PER_USER} streams at once.",
                status=429,
                code="too_many_streams",
                headers={"Retry-After": "1"},
            )

    def stop(self) -> None:
        """End all streams, and each that is opened from now on: cut, so that clients take them up elsewhere."""
        self._stopping.set()

    def answer(
        self, caller: Caller, reader: Reader, *, is_owned: bool, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Return a run's stream as an answer; it ends with its caller's token, cut as by `stop`.

        Args:
            caller: Whose rights it is read with.
            reader: Of the run.
            is_owned: Whether the run ends with the connection.
            headers: Besides those of every stream.
        """

        async def hung_up() -> None:
            if is_owned and not reader.has_heard_the_end:
                await self._abandon(caller, reader)

        return EventStream(
            self._pages(caller, reader),
            headers={**HEADERS, **(headers or {})},
            stopping=self._stopping,
            hung_up=hung_up,
            counted=lambda: self._counted(caller),
            heartbeat_s=self._heartbeat_s,
            longest_s=self._longest_s(caller),
        )

    async def read_once(self, caller: Caller, reader: Reader) -> tuple[list[Told], Following | None]:
        """Return what there is to tell now, at most a page of it, and how the run stands; None for no run."""
        eyes = caller.eyes()
        told: list[Told] = []
        while True:
            page = await self._follow(eyes, reader)
            if page is None:
                return [], None
            told += reader.read(page)
            if page.is_all and page.status.is_final and not reader.is_over:
                told += await self._end(caller, reader)
            if told or page.is_all or reader.is_over:
                return told, page

    async def _pages(self, caller: Caller, reader: Reader) -> AsyncGenerator[bytes, None]:
        eyes = caller.eyes()
        with self._followers.of(reader.run_id) as ear:
            while True:
                page = await _patiently(lambda: self._follow(eyes, reader))
                if page is None:
                    return  # it was deleted
                told = reader.read(page)
                if page.is_all and page.status.is_final and not reader.is_over:
                    told += await _patiently(lambda: self._end(caller, reader))
                if told:
                    yield b"".join(frames(each.seq, each.events) for each in told)
                if reader.is_over:
                    yield DONE
                    return
                ear.seen = reader.position
                if page.is_all:
                    await ear.pause()

    def _longest_s(self, caller: Caller) -> float | None:
        """Return how long the caller's token holds, as whoever checked it reads clocks."""
        if caller.expires_at is None:
            return None
        return max(caller.expires_at + CLOCK_SKEW_S - self._now(), 0.0)

    @contextlib.contextmanager
    def _counted(self, caller: Caller) -> Iterator[None]:
        user_id = caller.user_id
        self._open[user_id] += 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]

    async def _follow(self, eyes: Eyes, reader: Reader) -> Following | None:
        return await self._looking.follow(
            eyes, reader.run_id, after_seq=reader.position, cursor=reader.cursor
        )

    async def _end(self, caller: Caller, reader: Reader) -> list[Told]:
        run = await self._runs.look(caller, reader.run_id)
        if run is None or not run.status.is_final:  # deleted, or sent back to work
            return []
        return reader.end(run.status, run.response)

    async def _abandon(self, caller: Caller, reader: Reader) -> None:
        logger.info("run.abandoned", task_id=str(reader.run_id))
        try:
            await _patiently(lambda: self._runs.cancel(caller, reader.run_id))
        except DatabaseUnavailable:
            logger.warning("run.not_stopped", task_id=str(reader.run_id))


async def _patiently(call: Callable[[], Awaitable[Value]]) -> Value:
    """Make a call that may be repeated; the first time plainly, for a stream looks twenty times a second."""
    try:
        return await call()
    except DatabaseUnavailable:
        return await patiently(call, patience_s=PATIENCE_S)
