"""What comes of a statement as an HTTP answer: status, headers, body."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from fastapi import Response

from agent_worker.db.access.query import Answer, Duplicates, Returned
from agent_worker.gateway.rest.media import Media
from agent_worker.gateway.rest.prefer import Preferences
from agent_worker.gateway.rest.ranges import content_range, page_status


def read(answer: Answer, media: Media, prefer: Preferences, offset: int) -> Response:
    """Answer a read: 200, or 206 for a part of the rows when they were counted.

    Raises:
        GatewayError: The part begins after the last row.
    """
    status = page_status(answer, offset)
    headers = content_range(offset, answer.rows, answer.total) | prefer.header("count", "handling", "tx")
    return _with_body(status, answer.body, media, headers)


def called(answer: Answer, media: Media, prefer: Preferences, offset: int) -> Response:
    """Answer a call: as a read, or 204 for a function that returns nothing."""
    headers = content_range(offset, answer.rows, answer.total)
    headers |= prefer.header("count", "handling", "max-affected", "tx")
    if answer.is_void:
        return Response(status_code=204, headers=headers)
    return _with_body(page_status(answer, offset), answer.body, media, headers)


def inserted(answer: Answer, media: Media, prefer: Preferences, table: str) -> Response:
    """Answer an insert: 201, or 200 for an upsert that made no new row."""
    is_merge = prefer.resolution is Duplicates.MERGE
    status = 200 if is_merge and answer.inserted is not None and answer.inserted <= 0 else 201
    headers = content_range(1, 0, answer.total)
    headers |= prefer.header("resolution", "missing", "return", "count", "handling", "tx")
    if answer.key:
        headers["Location"] = _location(table, answer.key)
    if prefer.returned is Returned.REPRESENTATION:
        return _with_body(status, answer.body, media, headers)
    return Response(status_code=status, headers=headers)


def changed(answer: Answer, media: Media, prefer: Preferences) -> Response:
    """Answer an update: 204, or 200 with the rows."""
    headers = content_range(0, answer.rows, answer.total)
    headers |= prefer.header("missing", "return", "count", "handling", "max-affected", "tx")
    return _shown(answer, media, prefer, headers)


def deleted(answer: Answer, media: Media, prefer: Preferences) -> Response:
    """Answer a delete: 204, or 200 with the rows."""
    headers = content_range(1, 0, answer.total)
    headers |= prefer.header("return", "count", "handling", "max-affected", "tx")
    return _shown(answer, media, prefer, headers)


def _shown(answer: Answer, media: Media, prefer: Preferences, headers: Mapping[str, str]) -> Response:
    if prefer.returned is Returned.REPRESENTATION:
        return _with_body(200, answer.body, media, headers)
    return Response(status_code=204, headers=dict(headers))


def _with_body(status: int, body: str | None, media: Media, headers: Mapping[str, str]) -> Response:
    return Response(body or "", status_code=status, headers=dict(headers), media_type=media.content_type)


def _location(table: str, key: Mapping[str, object]) -> str:
    pairs = {name: "is.null" if value is None else f"eq.{value}" for name, value in key.items()}
    return f"/{quote(table)}?{urlencode(pairs)}"
