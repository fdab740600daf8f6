"""A worker that does what the test says, one write at a time, and a wire that the test can cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import uuid4

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from agent_worker.db.connection import Database
from agent_worker.db.queue import Batch, Final, Queue, Said
from agent_worker.domain.events import Event, attempt_start, text_delta, with_step
from agent_worker.domain.json import JsonObject, dump_json
from agent_worker.domain.lanes import whole_level
from agent_worker.domain.task import Lease, Task, TaskStatus
from tests.db.steps import ask


class ByHand:
    """Claims and writes as a worker does, with its own id and through the same fenced functions."""

    def __init__(self, db: Database) -> None:
        self.queue = Queue(db, uuid4())

    async def claim(self, kind: str = "chat", *, priority: int = 0) -> Task:
        """Take the first task in line."""
        (task,) = await self.queue.claim([whole_level(kind, priority)], 1)
        return task

    async def say(self, task: Task, *events: Event) -> None:
        """Append to the task's stream."""
        first = await self.queue.last_event_seq(task.id) + 1
        said = [Said(self._lease(task), first + n, event) for n, event in enumerate(events)]
        assert not await self.queue.write(Batch(events=said))

    async def begin(self, task: Task, *, keep: tuple[str, ...] = ()) -> None:
        """Say that the attempt begins."""
        await self.say(task, attempt_start(attempt=task.attempt, resume=task.resume.value, keep=keep))

    async def speak(self, task: Task, *words: str, step: str | None = None) -> None:
        """Stream text."""
        await self.say(task, *(with_step(text_delta("t1", word), step) for word in words))

    async def complete(self, task: Task, response: JsonObject) -> None:
        """End the task with an answer."""
        await self._finish(task, TaskStatus.COMPLETED, response)

    async def fail(self, task: Task, code: str, *, retryable: bool = False) -> None:
        """End the task with a failure."""
        response: JsonObject = {"error": f"It failed: {code}.", "code": code, "retryable": retryable}
        await self._finish(task, TaskStatus.FAILED, response)

    async def retry(self, task: Task) -> None:
        """Give the attempt up; another one may start at once."""
        assert not await self.queue.write(Batch(retries=[(self._lease(task), 0.0)]))

    async def ask(self, task: Task, key: str = "ok") -> None:
        """Park the task until a person answers."""
        assert not await self.queue.write(Batch(parks=[(self._lease(task), ask(key, timeout_s=60))]))

    async def _finish(self, task: Task, status: TaskStatus, response: JsonObject) -> None:
        final = Final(self._lease(task), status, dump_json(response))
        assert not await self.queue.write(Batch(finals=[final]))

    def _lease(self, task: Task) -> Lease:
        return Lease(task.id, task.attempt, self.queue.worker_id)


async def cut_connections(db: Database, *, listening: bool) -> int:
    """End the server processes of this database that last ran LISTEN's health check, or all others; return how many."""
    query = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND (application_name LIKE '%% listener') = %(listening)s"
    )
    count: int = await db.fetch_value(query, {"listening": listening})
    return count


async def listeners(db: Database) -> int:
    """Count the connections to this database that last ran LISTEN's health check."""
    query = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name LIKE '%% listener' AND pid <> pg_backend_pid()"
    )
    count: int = await db.fetch_value(query, {})
    return count


class Wire:
    """A TCP hop in front of a server. `freeze` makes it half-open: both ends stay connected and hear nothing."""

    def __init__(self, server_url: str) -> None:
        self._server = conninfo_to_dict(server_url)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._loses_replies = False
        self._loses_replies_after: bytes | None = None
        self._replacements: dict[bytes, bytes] = {}
        self.holds_bytes = asyncio.Event()
        self.lost_replies = 0
        self.port = 0
        self.url = ""
        self.accepted = 0

    def replace(self, sent: bytes, arriving: bytes) -> None:
        """Have other bytes arrive than were sent; both are equally long."""
        assert len(sent) == len(arriving)
        self._replacements[sent] = arriving

    def freeze(self) -> None:
        """Swallow what is sent from now on, in both directions."""
        self._flowing.clear()

    def lose_replies(self, *, after: bytes | None = None) -> None:
        """Carry what the client sends and drop what the server replies; from when the client sends `after`, if given."""
        self._loses_replies = after is None
        self._loses_replies_after = after

    def keep_replies(self) -> None:
        """Carry both ways again."""
        self._loses_replies = False
        self._loses_replies_after = None

    def cut(self) -> None:
        """End every connection; what was held back is gone."""
        for pump in self._pumps:
            pump.cancel()

    @property
    def is_left(self) -> bool:
        """Whether nobody is connected any more."""
        return not self._pumps

    def thaw(self) -> None:
        """Carry bytes again, those held back first."""
        self._flowing.set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Wire]:
        """Listen for the length of a block, the second time on the port of the first; `url` leads through it."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        server_url = {name: value for name, value in self._server.items() if name != "hostaddr"}
        hop = {"host": "127.0.0.1", "port": self.port, "sslmode": "disable"}
        self.url = make_conninfo(**{**server_url, **hop})  # type: ignore[arg-type]  # the stub wants literal keywords
        try:
            yield self
        finally:
            server.close()
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        dialling = asyncio.current_task()
        assert dialling is not None
        self._pumps.add(dialling)  # so that it ends with the block, too
        try:
            far_reader, far_writer = await self._dial()
        except BaseException:
            writer.close()
            raise
        finally:
            self._pumps.discard(dialling)
        for source, target, is_reply in ((reader, far_writer, False), (far_reader, writer, True)):
            pump = asyncio.create_task(self._pump(source, target, is_reply=is_reply))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = str(self._server.get("host") or "127.0.0.1")
        port = self._server.get("port") or 5432
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, int(port))

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        try:
            while data := await source.read(65_536):
                if not self._flowing.is_set():
                    self.holds_bytes.set()
                    await self._flowing.wait()
                if not is_reply and self._loses_replies_after and self._loses_replies_after in data:
                    self._loses_replies = True
                for sent, arriving in self._replacements.items():
                    data = data.replace(sent, arriving)
                if is_reply and self._loses_replies:
                    self.lost_replies += 1
                else:
                    target.write(data)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()
