"""Read what PostgreSQL's own output plugin says of each committed row.

The format is protocol version 1 of `pgoutput`, as the chapter "Logical Replication Message Formats" of PostgreSQL's
manual has it. Values come as text, in the format of the session that reads them; `values` makes JSON of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["INSERT", "UPDATE", "DELETE"]
Row: TypeAlias = dict[str, str | None]
"""Values in PostgreSQL's text format by column. A long value that an update left alone is not in the log: its key is
absent, which is something else than None."""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_KINDS: dict[int, Kind] = {ord("I"): "INSERT", ord("U"): "UPDATE", ord("D"): "DELETE"}
_IS_KEY = 1
_FULL = "f"

_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">I")
_BEGIN = struct.Struct(">QqI")
_COLUMN = struct.Struct(">Ii")


class FeedCorrupt(ValueError):
    """A message is none of this protocol: somebody stands between, or a release spoke of what was not asked for."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the log knows it.

    Attributes:
        name: As in the table.
        type_oid: In `pg_type`.
        is_key: Whether it belongs to the replica identity; all do where that is FULL.
    """

    name: str
    type_oid: int
    is_key: bool


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """A table as it was when the row was written.

    PostgreSQL describes it anew before the first row that follows a change of the table, of its rights or of its
    policies, so each description is an object of its own, and what was looked up for another one is out of date.

    Attributes:
        oid: In `pg_class`.
        schema: Its schema.
        table: Its name.
        columns: The published ones, in the table's order.
        is_full: Whether updates and deletes come with the whole old row (REPLICA IDENTITY FULL).
    """

    oid: int
    schema: str
    table: str
    columns: tuple[Column, ...]
    is_full: bool


@dataclass(frozen=True, slots=True)
class RowChange:
    """One row that a committed transaction wrote.

    Attributes:
        kind: What was done.
        relation: Whose row it is.
        committed_at: When its transaction committed, by the database's clock.
        new: The row afterwards; None for a deleted one.
        old: What the log has of the row before: all of it with REPLICA IDENTITY FULL, else the key of a deleted
            row or of one whose key changed; None where it has nothing.
        size_bytes: Length of all its values as text.
        xid: Lower 32 bits of its transaction's number; None where it was told after statements could see it.
    """

    kind: Kind
    relation: Relation
    committed_at: datetime
    new: Row | None
    old: Row | None
    size_bytes: int
    xid: int | None = None


class Decoder:
    """Turns messages into rows; one per session, because tables are described once in each.

    Args:
        wanted: Whether anybody follows a table. Rows of others are not even read.
    """

    def __init__(self, wanted: Callable[[Relation], bool]) -> None:
        self._wanted = wanted
        self._relations: dict[int, Relation] = {}
        self._committed_at = _EPOCH
        self._xid = 0

    def decode(self, message: bytes) -> RowChange | None:
        """Take in one message; None when it is no row, or one that nobody wants.

        Raises:
            FeedCorrupt: It is no message of this protocol.
        """
        try:
            tag = message[0]
            if tag in _KINDS:
                return self._row(_KINDS[tag], message)
            if tag == ord("B"):
                _, since_us, self._xid = _BEGIN.unpack_from(message, 1)
                self._committed_at = _EPOCH + timedelta(microseconds=since_us)
            elif tag == ord("R"):
                relation = _relation(message)
                self._relations[relation.oid] = relation
        except (IndexError, OverflowError, struct.error, UnicodeDecodeError, ValueError) as exc:
            raise FeedCorrupt(f"a message of {len(message)} bytes cannot be read · {exc}") from exc
        return None

    def _row(self, kind: Kind, message: bytes) -> RowChange | None:
        (oid,) = _INT32.unpack_from(message, 1)
        relation = self._relations.get(oid)
        if relation is None:
            raise FeedCorrupt(f"a row of a table that was never described: {oid}")
        if not self._wanted(relation):
            return None
        new: Row | None = None
        old: Row | None = None
        at = 5
        while at < len(message):
            part = chr(message[at])
            row, at = _tuple(message, at + 1, relation, keys_only=part == "K")
            if part == "N":
                new = row
            else:
                old = row
        return RowChange(kind, relation, self._committed_at, new, old, size_of(new) + size_of(old), self._xid)


def _relation(message: bytes) -> Relation:
    (oid,) = _INT32.unpack_from(message, 1)
    schema, at = _text(message, 5)
    table, at = _text(message, at)
    identity = chr(message[at])
    (count,) = _INT16.unpack_from(message, at + 1)
    at += 3
    columns = []
    for _ in range(count):
        flags = message[at]
        name, at = _text(message, at + 1)
        type_oid, _ = _COLUMN.unpack_from(message, at)
        at += _COLUMN.size
        columns.append(Column(name, type_oid, bool(flags & _IS_KEY)))
    return Relation(oid, schema or "pg_catalog", table, tuple(columns), identity == _FULL)


def _text(message: bytes, at: int) -> tuple[str, int]:
    end = message.index(0, at)
    return message[at:end].decode(), end + 1


def _tuple(message: bytes, at: int, relation: Relation, *, keys_only: bool) -> tuple[Row, int]:
    (count,) = _INT16.unpack_from(message, at)
    at += 2
    row: Row = {}
    for column in relation.columns[:count]:
        form = message[at]
        at += 1
        if form == ord("t"):
            (length,) = _INT32.unpack_from(message, at)
            at += 4 + length
            row[column.name] = message[at - length : at].decode()
        elif form == ord("n"):
            if column.is_key or not keys_only:  # of a key alone, the other columns come as nulls
                row[column.name] = None
        elif form != ord("u"):
            raise ValueError(f"a value in the format {form}")
    return row, at


def size_of(row: Row | None) -> int:
    """Return the length of a row's values as text."""
    return sum(len(value) for value in row.values() if value is not None) if row else 0
