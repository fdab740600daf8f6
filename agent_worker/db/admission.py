"""What is checked before a row is sent, and how the table's own refusals read."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

import psycopg
from psycopg import errors as pg

from agent_worker.domain.client_errors import TaskNotFound, TaskRefused
from agent_worker.domain.json import JsonObject, dump_json, find_nul

_UUID_DIGITS = 32


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn a broken rule of the table into the sentence that names it: the constraint's name, or the trigger's words."""
    try:
        yield
    except pg.UniqueViolation:
        raise
    except (psycopg.IntegrityError, psycopg.DataError, pg.ProgramLimitExceeded) as exc:
        rule = exc.diag.constraint_name or exc.diag.message_primary or str(exc).partition("\n")[0]
        raise TaskRefused(rule, hint=exc.diag.message_hint) from exc


def storable_json(column: str, value: JsonObject) -> str:
    """Write `value` as JSON text for `jsonb`.

    A NUL is refused here rather than mended, as it is in a worker's answer: a client should get what it sent.

    Raises:
        TaskRefused: It holds what PostgreSQL cannot store, or is no JSON at all; the message names the place.
    """
    try:
        if path := find_nul(value):
            raise _no_nul(column + path.removeprefix("$"))
        return dump_json(value)
    except (TypeError, ValueError, RecursionError) as exc:
        raise TaskRefused(f"{column} is no JSON: {exc}") from exc


def storable_text(column: str, value: str | None) -> str | None:
    """Return `value` if a text column can hold it.

    Raises:
        TaskRefused: It holds a NUL or a lone surrogate.
    """
    if value is None:
        return None
    if "\x00" in value:
        raise _no_nul(column)
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise TaskRefused(f"{column} is no Unicode text: {exc.reason}") from exc
    return value


def zoned_time(column: str, value: datetime | None) -> datetime | None:
    """Return `value` if it means one moment everywhere.

    Raises:
        TaskRefused: It has no time zone.
    """
    if value is not None and value.tzinfo is None:
        raise TaskRefused(f"{column} has no time zone", hint="write datetime.now(UTC) + timedelta(…)")
    return value


def _no_nul(place: str) -> TaskRefused:
    return TaskRefused(f"{place} holds a NUL character", hint="PostgreSQL cannot store one; remove it")


def id_range(prefix: str) -> dict[str, object]:
    """Return the first and last id that begin with `prefix`, and how many to fetch to tell one from several.

    Raises:
        TaskNotFound: `prefix` is no part of an id.
    """
    digits = prefix.strip().lower().replace("-", "")
    if not re.fullmatch(rf"[0-9a-f]{{1,{_UUID_DIGITS}}}", digits):
        raise TaskNotFound(f"{prefix!r} is no part of an id: ids are hexadecimal digits and dashes")
    first, last = digits.ljust(_UUID_DIGITS, "0"), digits.ljust(_UUID_DIGITS, "f")
    return {"first": UUID(first), "last": UUID(last), "limit": 4}


def the_one(noun: str, prefix: str, found: Sequence[UUID]) -> UUID:
    """Return the only id found.

    Raises:
        TaskNotFound: None was found, or several; the message names them.
    """
    match found:
        case [only]:
            return only
        case []:
            raise TaskNotFound(f"no {noun} has an id that begins with {prefix}")
        case _:
            names = ", ".join(str(item) for item in found[:3])
            more = " and more" if found[3:] else ""
            raise TaskNotFound(f"{prefix} fits several {noun}s: {names}{more} · type more of the id")
