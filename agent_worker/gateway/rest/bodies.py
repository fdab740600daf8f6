"""JSON bodies: looked at as little as possible, because PostgreSQL reads them anyway."""

from __future__ import annotations

import json
from typing import Any

from agent_worker.db.access.query import Rows
from agent_worker.domain.errors import GatewayError

_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
"""Numbers stay text: only names are wanted, and a number of a million digits would take its time."""
_JSON_TYPES = {"", "application/json", "application/vnd.pgrst.object", "application/vnd.pgrst.object+json"}


def text_of(body: bytes, content_type: str | None) -> str:
    """Return a body as text; an empty one is an empty object.

    Raises:
        GatewayError: It is of another type than JSON, or no UTF-8 (PGRST102).
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind not in _JSON_TYPES:
        raise _refused(f"Content-Type not acceptable: {kind}")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise _refused("Empty or invalid json") from None
    if "\0" in text:
        raise _refused("Empty or invalid json")
    return text.strip() or "{}"


def rows_of(text: str, columns: tuple[str, ...] | None) -> Rows:
    """Return the rows of a write: those columns, or the members that the body has.

    Raises:
        GatewayError: It is neither an object nor an array of objects with the same members (PGRST102).
    """
    if columns is not None and text[0] in "[{":
        return Rows(text, columns)
    parsed = _parsed(text)
    if isinstance(parsed, dict):
        return Rows(text, tuple(parsed), 1)
    if not isinstance(parsed, list) or not all(isinstance(row, dict) for row in parsed):
        raise _refused("Empty or invalid json")
    names = tuple(parsed[0]) if parsed else ()
    if any(row.keys() != parsed[0].keys() for row in parsed):
        raise _refused("All object keys must match")
    return Rows(text, names, len(parsed))


def arguments_of(text: str) -> frozenset[str]:
    """Return the names of a function's arguments; none for a body that is no object.

    Raises:
        GatewayError: It is no JSON (PGRST102).
    """
    parsed = _parsed(text)
    return frozenset(parsed) if isinstance(parsed, dict) else frozenset()


def _parsed(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise _refused("Empty or invalid json") from None


def _refused(message: str) -> GatewayError:
    return GatewayError(message, status=400, code="PGRST102")
