"""Write a change as clients of Supabase Realtime expect it.

Text is put together from the JSON texts of the values, which are made once for each change however many roles and
selections of columns there are.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from datetime import UTC

from agent_worker.db.feed.pgoutput import Row, RowChange
from agent_worker.db.feed.tables import Table
from agent_worker.db.feed.values import Form, Type, json_of

MOST_RECORD_BYTES = 1_048_576
"""Size of a row above which its longer values are left out, as on hosted Supabase."""
SHORT_BYTES = 64
"""JSON text of a value that is delivered nevertheless."""

TOO_LARGE = "Error 413: Payload Too Large"
UNAUTHORIZED = "Error 401: Unauthorized"
NO_KEY = "Error 400: Bad Request, no primary key"


class Written:
    """The JSON texts of one change's values, each made when it is first needed.

    Args:
        change: What happened.
        table: Its table.
        asked: JSON texts of what only the server could write, by type and text.
        most_bytes: Size of the row above which values longer than 64 bytes are left out.
    """

    def __init__(
        self,
        change: RowChange,
        table: Table,
        *,
        asked: Mapping[tuple[int, str], str],
        most_bytes: int = MOST_RECORD_BYTES,
    ) -> None:
        self._change = change
        self._table = table
        self._asked = asked
        self._is_large = change.size_bytes > most_bytes
        self._new: dict[str, str] = {}
        self._old: dict[str, str] = {}
        self._data: dict[tuple[frozenset[str], frozenset[str] | None], str] = {}

    def data(self, role: str, select: frozenset[str] | None) -> str:
        """Return the JSON text of `payload.data` for a role and a selection of columns."""
        readable = self._table.readable.get(role, frozenset())
        known = self._data.get((readable, select))
        if known is None:
            known = self._write(readable, select)
            self._data[readable, select] = known
        return known

    def _write(self, readable: frozenset[str], select: frozenset[str] | None) -> str:
        change, key = self._change, self._table.key
        if change.kind != "DELETE" and not (key and readable.issuperset(key)):
            return self._join([], {"record": "{}"}, UNAUTHORIZED if key else NO_KEY)
        columns = [
            column.name
            for column in change.relation.columns
            if column.name in readable
            and column.name in self._table.types
            and (select is None or column.name in select or column.name in key)
        ]
        parts = {}
        if change.new is not None:
            parts["record"] = self._record(change.new, columns, self._new)
        if change.kind != "INSERT":
            parts["old_record"] = self._record(self._before(), columns, self._old)
        return self._join(columns, parts, TOO_LARGE if self._is_large else None)

    def _before(self) -> Row:
        """Return what is told of the row before: the key, and all of it only where everybody sees everything."""
        change = self._change
        if change.old is not None and change.relation.is_full and not self._table.has_rls:
            return change.old
        rows = [row for row in (change.old, change.new) if row is not None]
        return {name: row[name] for name in self._table.key for row in rows[:1] if name in row}

    def _record(self, row: Row, columns: Iterable[str], written: dict[str, str]) -> str:
        parts = []
        for name in columns:
            if name not in row:
                continue
            text = written.get(name)
            if text is None:
                text = written[name] = self._json(row[name], self._table.types[name])
            if not self._is_large or len(text.encode()) <= SHORT_BYTES:
                parts.append(f"{json.dumps(name)}: {text}")
        return "{" + ", ".join(parts) + "}"

    def _json(self, text: str | None, type_: Type) -> str:
        if type_.form is Form.ASKED and text is not None:
            return self._asked.get((type_.oid, text), "null")
        return json_of(text, type_)

    def _join(self, columns: Iterable[str], records: Mapping[str, str], error: str | None) -> str:
        change = self._change
        at = change.committed_at.astimezone(UTC)
        parts = (
            f'"commit_timestamp": "{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z", "type": "{change.kind}", ',
            *(f'"{name}": {text}, ' for name, text in records.items()),
            f'"errors": {"null" if error is None else json.dumps([error])}',
        )
        return "{" + _about(self._table, tuple(columns)) + "".join(parts) + "}"


@functools.lru_cache(maxsize=256)
def _about(table: Table, columns: tuple[str, ...]) -> str:
    """Write what is the same for all rows of a table."""
    types = [{"name": name, "type": table.types[name].name} for name in columns]
    return f'"schema": {json.dumps(table.schema)}, "table": {json.dumps(table.name)}, "columns": {json.dumps(types)}, '


def asked_values(change: RowChange, table: Table) -> dict[tuple[int, str], Type]:
    """Return the values of a change that only the server can write as JSON, by type and text."""
    rows = [row for row in (change.new, change.old) if row is not None]
    return {
        (type_.oid, text): type_
        for row in rows
        for name, text in row.items()
        if text is not None and (type_ := table.types.get(name)) is not None and type_.form is Form.ASKED
    }
