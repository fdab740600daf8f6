"""Bring each committed change to whoever follows it and may see it.

One task does it all, batch after batch: find the followers, judge their filters, ask row level security once for each
distinct caller, write the payload once for each set of visible columns, hand it to the subscribers' queues. The next
batch is read when that is done, so that whatever is slow here slows the reading, and nothing piles up in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog

from agent_worker.db.connection import Database
from agent_worker.db.feed.comparing import Comparing, Comparison
from agent_worker.db.feed.feed import PUBLICATIONS_INTERVAL_S, Feed, FeedState
from agent_worker.db.feed.pgoutput import Relation, Row, RowChange
from agent_worker.db.feed.session import feed_conninfo
from agent_worker.db.feed.tables import Table, Tables
from agent_worker.db.feed.values import Type
from agent_worker.db.feed.visibility import Key, Visibility
from agent_worker.domain.caller import Eyes
from agent_worker.domain.errors import AgentWorkerError, DatabaseUnavailable
from agent_worker.gateway.realtime.binding import Binding, Broadcast, Subscriber
from agent_worker.gateway.realtime.conditions import Condition, Verdict
from agent_worker.gateway.realtime.interest import Interest, Post, Seat
from agent_worker.gateway.realtime.messages import broadcast_of, holds_messages
from agent_worker.gateway.realtime.payload import MOST_RECORD_BYTES, Written, asked_values
from agent_worker.gateway.realtime.planning import Planner

logger = structlog.get_logger(__name__)

MOST_CONNECTIONS = 4
"""One asks row level security; the others are for joins. The log is read on a connection of its own."""
BREATH = 64
"""Changes, and deliveries of one change, after which the event loop gets its turn: a few milliseconds."""
CHECK_ATTEMPTS = 3
"""Times that row level security is asked when the database is busy, 10 s each at most, before changes are given up."""


@dataclass(slots=True)
class _Match:
    """A change and the posts it concerns."""

    change: RowChange
    table: Table
    posts: list[Post]
    key: Key | None
    open_terms: list[tuple[Post, Condition]] = field(default_factory=list)

    def value(self, condition: Condition) -> str | None:
        """Return the text that a condition judges."""
        row = self.change.new if self.change.new is not None else self.change.old or {}
        return row[condition.term.column]

    def asks(self, role: str) -> bool:
        """Whether row level security has a say: not about a row that is gone, nor where only an error is told."""
        table = self.table
        return (
            self.change.kind != "DELETE"
            and table.asks(role)
            and bool(table.key)
            and table.readable.get(role, frozenset()).issuperset(table.key)
        )


class Changes:
    """The fan-out of `postgres_changes`, and of the broadcasts that the database sends.

    Args:
        database_url: Of the database, as a role that may replicate and become each caller's role.
        most_record_bytes: Size of a row above which its longer values are left out.
        publications_interval_s: Seconds between two looks whether a publication was made or removed.

    Raises:
        ConfigurationError: `database_url` is malformed.
    """

    def __init__(
        self,
        database_url: str,
        *,
        most_record_bytes: int = MOST_RECORD_BYTES,
        publications_interval_s: float = PUBLICATIONS_INTERVAL_S,
    ) -> None:
        self._db = Database(feed_conninfo(database_url, "feed"), max_size=MOST_CONNECTIONS)
        self._tables = Tables(self._db)
        self._comparing = Comparing(self._db)
        self._visibility = Visibility(self._db)
        self._planner = Planner(self._tables, self._comparing)
        self._interest = Interest()
        self._seats: dict[int, Seat] = {}
        self._on_broadcast: list[Callable[[Broadcast], None]] = []
        self._most_record_bytes = most_record_bytes
        self._session = 0
        self._feed = Feed(
            database_url,
            self._db,
            wanted=self._wanted,
            consume=self._consume,
            publications_interval_s=publications_interval_s,
        )

    @property
    def state(self) -> FeedState:
        """How changes come at this moment, or why they do not."""
        return self._feed.state

    async def start(self) -> None:
        """Connect and begin to read in the background.

        Raises:
            DatabaseUnavailable: Nobody answers.
        """
        await self._db.open()
        await self._feed.start()

    async def stop(self) -> None:
        """End; twice is fine, unstarted is fine. Subscribers hear nothing more."""
        await self._feed.stop()
        await self._db.close()

    async def ready(self) -> None:
        """Return once changes flow; waits while the database is away."""
        await self._feed.ready()

    def broadcasts(self, on_message: Callable[[Broadcast], None]) -> None:
        """Have each row inserted into `realtime.messages` told, in the order of the commits.

        Args:
            on_message: Must neither block nor raise.
        """
        self._on_broadcast.append(on_message)

    async def add(self, subscriber: Subscriber, bindings: Sequence[Binding]) -> None:
        """Let a subscriber follow what its bindings say; returns when every later commit will be told.

        That takes as long as the database is away, or as the oldest writing transaction goes on while the feed starts:
        cancel it to give up, and nothing is left behind.

        Args:
            subscriber: Who; adding more bindings for it is fine.
            bindings: What to follow, with ids of the subscriber's own.

        Raises:
            BindingRefused: One of them cannot be served; then none is in force.
            DatabaseUnavailable: Nobody answers.
        """
        seat = self._seats.get(id(subscriber)) or Seat(subscriber)
        planned = [placed for binding in bindings for placed in await self._planner.plan(seat, binding)]
        self._seats[id(subscriber)] = seat
        for post, place in planned:
            self._interest.add(post, place)
        try:
            await self._feed.ready()
        except asyncio.CancelledError:
            self.remove(subscriber)
            raise

    def remove(self, subscriber: Subscriber) -> None:
        """Let a subscriber go; nothing is delivered to it after the return. Twice is fine."""
        seat = self._seats.pop(id(subscriber), None)
        if seat is not None:
            seat.is_gone = True
            self._interest.remove(seat)

    def _wanted(self, relation: Relation) -> bool:
        if holds_messages(relation):
            return bool(self._on_broadcast)
        return self._interest.follows(relation.schema, relation.table)

    async def _consume(self, changes: Sequence[RowChange]) -> None:
        if self._session != self._feed.sessions:
            self._session = self._feed.sessions
            self._tables.forget()
        try:
            await self._fan_out(changes)
        except AgentWorkerError as exc:
            logger.warning("changes.dropped", changes=len(changes), error=str(exc))
        except Exception:  # the gateway's edge: a bug with one change must not end all of them
            logger.exception("changes.failed", changes=len(changes))

    async def _fan_out(self, changes: Sequence[RowChange]) -> None:
        matches = []
        for change in changes:
            if holds_messages(change.relation):
                self._broadcast(change)
            elif (found := await self._match(change)) is not None:
                matches.append(found)
        await self._judge(matches)
        matches = [match for match in matches if match.posts]
        if not matches:
            return
        await self._visibility.settle(match.change for match in matches)
        seen = await self._look(matches)
        asked = await self._written_by_server(matches)
        for number, match in enumerate(matches, start=1):
            if number % BREATH == 0:
                await asyncio.sleep(0)
            await self._deliver(match, seen, asked)

    def _broadcast(self, change: RowChange) -> None:
        message = broadcast_of(change)
        if message is not None:
            for on_message in self._on_broadcast:
                on_message(message)

    async def _match(self, change: RowChange) -> _Match | None:
        relation = change.relation
        row = change.new if change.new is not None else change.old or {}
        posts = self._interest.posts(relation.schema, relation.table, change.kind, row)
        if not posts or (table := await self._tables.facts(relation)) is None:
            return None
        match = _Match(change, table, [], _key_of(table, row))
        for post in posts:
            verdicts = [(condition, condition.judge(row)) for condition in post.conditions]
            if all(verdict is not Verdict.NO for _, verdict in verdicts):
                match.posts.append(post)
                match.open_terms += [(post, one) for one, verdict in verdicts if verdict is Verdict.ASK]
        return match

    async def _judge(self, matches: Sequence[_Match]) -> None:
        """Have PostgreSQL judge what only it can, all in one statement."""
        values: dict[Comparison, dict[str | None, bool | None]] = {}
        for match in matches:
            for _, condition in match.open_terms:
                values.setdefault(condition.comparison, {})[match.value(condition)] = None
        if not values:
            return
        answers = await self._comparing.judge([(one, list(texts)) for one, texts in values.items()])
        for texts, said in zip(values.values(), answers, strict=True):
            texts.update(zip(list(texts), said, strict=True))
        for match in matches:
            refused = {
                post
                for post, condition in match.open_terms
                if condition.verdict(values[condition.comparison][match.value(condition)]) is Verdict.NO
            }
            match.posts = [post for post in match.posts if post not in refused]

    async def _look(self, matches: Iterable[_Match]) -> _Seen:
        """Ask row level security about all rows and callers of a batch, one statement for each table."""
        seen: _Seen = {}
        asks: dict[int, tuple[Table, dict[Eyes, dict[Key, None]]]] = {}
        for match in matches:
            table, key = match.table, match.key
            for post in match.posts:
                eyes = post.seat.eyes
                if key is not None and match.asks(eyes.role):
                    _, by_eyes = asks.setdefault(table.oid, (table, {}))
                    by_eyes.setdefault(eyes, {})[key] = None
        for table, by_eyes in asks.values():
            visible = await self._visible(table, {eyes: tuple(keys) for eyes, keys in by_eyes.items()})
            for eyes, keys in by_eyes.items():
                seen.setdefault((table.oid, eyes), {}).update(
                    (key, key in visible.get(eyes, ())) for key in keys
                )
        return seen

    async def _visible(self, table: Table, asks: dict[Eyes, tuple[Key, ...]]) -> dict[Eyes, set[Key]]:
        for _ in range(CHECK_ATTEMPTS - 1):
            try:
                return await self._visibility.visible(table, asks)
            except DatabaseUnavailable as exc:
                logger.warning("changes.check_repeated", table=table.name, error=str(exc))
        return await self._visibility.visible(table, asks)

    async def _written_by_server(self, matches: Iterable[_Match]) -> dict[tuple[int, str], str]:
        values: dict[tuple[int, str], Type] = {}
        for match in matches:
            values.update(asked_values(match.change, match.table))
        if not values:
            return {}
        texts = await self._comparing.write_json([(type_, text) for (_, text), type_ in values.items()])
        return dict(zip(values, texts, strict=True))

    async def _deliver(self, match: _Match, seen: _Seen, asked: dict[tuple[int, str], str]) -> None:
        written = Written(match.change, match.table, asked=asked, most_bytes=self._most_record_bytes)
        by_seat: dict[tuple[Seat, frozenset[str] | None], list[Post]] = {}
        for post in match.posts:
            by_seat.setdefault((post.seat, post.select), []).append(post)
        for number, ((seat, select), posts) in enumerate(by_seat.items(), start=1):
            if number % BREATH == 0:
                await asyncio.sleep(0)
            if not seat.is_gone and await self._may_see(match, seat, seen) and not seat.is_gone:
                ids = [post.id for post in sorted(posts, key=lambda post: post.order)]
                self._hand_over(seat, ids, written.data(seat.eyes.role, select))

    def _hand_over(self, seat: Seat, ids: Sequence[int], data_json: str) -> None:
        try:
            seat.subscriber.deliver(ids, data_json)
        except Exception:  # the gateway's edge: one socket's trouble is not another's
            logger.exception("changes.subscriber_failed")
            self.remove(seat.subscriber)

    async def _may_see(self, match: _Match, seat: Seat, seen: _Seen) -> bool:
        while match.asks((eyes := seat.eyes).role):
            if match.key is None:
                return False
            answer = seen.get((match.table.oid, eyes), {}).get(match.key)
            if answer is not None:
                return answer
            # Its token was refreshed since the question, perhaps to another user's: ask again with the new one.
            visible = await self._visible(match.table, {eyes: (match.key,)})
            seen.setdefault((match.table.oid, eyes), {})[match.key] = match.key in visible.get(eyes, ())
        return True


_Seen: TypeAlias = dict[tuple[int, Eyes], dict[Key, bool]]
"""Whether a caller sees a row: by table and caller, then by the row's key."""


def _key_of(table: Table, row: Row) -> Key | None:
    """Return the texts of a row's primary key; None where there is none, or a part of it is not published."""
    values = [row.get(name) for name in table.key]
    texts = tuple(value for value in values if value is not None)
    return texts if texts and len(texts) == len(table.key) else None
