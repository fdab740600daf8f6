"""Who follows what, so that a change finds its followers without asking each of them.

A binding whose filter has an equality (`id=eq.…`) lies under that column and value: a thousand sockets that follow a task
each cost a change one look-up. All others of a table are looked through.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from agent_worker.db.feed.pgoutput import Kind, Row
from agent_worker.domain.caller import Caller, Eyes
from agent_worker.gateway.realtime.binding import Subscriber
from agent_worker.gateway.realtime.conditions import Condition

ANY = "*"

_numbers = itertools.count()


class Place(NamedTuple):
    """Where a post belongs.

    Attributes:
        schema: Schema; `*` only together with the table `*`.
        table: Table, or `*` for all of the schema.
        equality: Column and text of which a row must have exactly this; None for any row.
    """

    schema: str
    table: str
    equality: tuple[str, str] | None = None


class Seat:
    """A subscriber's place.

    Attributes:
        subscriber: Whose it is.
        is_gone: Whether it left; nothing is delivered any more.
        posts: Its posts, each with where it is.
    """

    __slots__ = ("_caller", "_eyes", "is_gone", "posts", "subscriber")

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self.is_gone = False
        self.posts: list[tuple[Post, Place]] = []
        self._caller: Caller | None = None
        self._eyes = Eyes("", "")

    @property
    def eyes(self) -> Eyes:
        """With whose eyes it sees at this moment; its caller changes when a token is refreshed."""
        caller = self.subscriber.caller
        if caller is not self._caller:
            self._caller = caller
            self._eyes = caller.eyes()
        return self._eyes


@dataclass(frozen=True, slots=True, eq=False)
class Post:
    """A binding that is in force, for one table or a wildcard.

    Attributes:
        seat: Whose.
        id: The subscriber's number for it.
        event: `INSERT`, `UPDATE`, `DELETE` or `*`.
        conditions: What a row has to pass, but for the equality it lies under.
        select: Columns to deliver besides the key; None for all.
        order: Grows from post to post.
    """

    seat: Seat
    id: int
    event: str
    conditions: tuple[Condition, ...]
    select: frozenset[str] | None
    order: int = field(default_factory=lambda: next(_numbers))


_Shelf: TypeAlias = dict[Post, None]
_Equality: TypeAlias = tuple[str, str]


@dataclass(slots=True)
class _Followers:
    """The posts of one table, or of one wildcard."""

    others: _Shelf = field(default_factory=dict)
    by_value: dict[str, dict[str, _Shelf]] = field(default_factory=dict)

    def add(self, post: Post, equality: _Equality | None) -> None:
        if equality is None:
            self.others[post] = None
        else:
            column, value = equality
            self.by_value.setdefault(column, {}).setdefault(value, {})[post] = None

    def remove(self, post: Post, equality: _Equality | None) -> None:
        if equality is None:
            del self.others[post]
            return
        column, value = equality
        shelves = self.by_value[column]
        del shelves[value][post]
        if not shelves[value]:
            del shelves[value]
        if not shelves:
            del self.by_value[column]

    def matching(self, row: Row) -> Iterator[Post]:
        yield from self.others
        for column, shelves in self.by_value.items():
            value = row.get(column)
            if value is not None and value in shelves:
                yield from shelves[value]


class Interest:
    """All posts, by what they follow."""

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str], _Followers] = {}

    def add(self, post: Post, place: Place) -> None:
        """Put a post in force; the place's equality is not among its conditions."""
        self._tables.setdefault((place.schema, place.table), _Followers()).add(post, place.equality)
        post.seat.posts.append((post, place))

    def remove(self, seat: Seat) -> None:
        """Take all posts of a seat out of force."""
        posts, seat.posts = seat.posts, []
        for post, place in posts:
            followers = self._tables[place.schema, place.table]
            followers.remove(post, place.equality)
            if not followers.others and not followers.by_value:
                del self._tables[place.schema, place.table]

    def follows(self, schema: str, table: str) -> bool:
        """Whether anybody follows a table."""
        return any(place in self._tables for place in _places(schema, table))

    def posts(self, schema: str, table: str, kind: Kind, row: Row) -> list[Post]:
        """Return the posts that a change may concern; their conditions remain to be judged.

        Args:
            schema: The table's schema.
            table: Its name.
            kind: What was done to the row.
            row: The row, of a deleted one what the log has of it.
        """
        found: list[Post] = []
        for place in _places(schema, table):
            if (followers := self._tables.get(place)) is not None:
                found += [post for post in followers.matching(row) if post.event in (ANY, kind)]
        return found


def _places(schema: str, table: str) -> tuple[tuple[str, str], ...]:
    return (schema, table), (schema, ANY), (ANY, ANY)
