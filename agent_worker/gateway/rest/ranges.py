"""The headers Range and Content-Range, and the status that a part of a list has.

Source: https://docs.postgrest.org/en/stable/references/api/pagination_count.html.
"""

from __future__ import annotations

import re
from dataclasses import replace

from agent_worker.db.access.query import Answer, Selection
from agent_worker.domain.errors import GatewayError
from agent_worker.gateway.rest.errors import range_refused

_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{0,18})")


def narrowed(selection: Selection, header: str | None) -> Selection:
    """Return the selection within the rows that a Range header asks for, such as `0-9`; another header is ignored.

    Raises:
        GatewayError: It ends before it begins (PGRST103).
    """
    found = _RANGE.fullmatch(header or "")
    if found is None:
        return selection
    first, last = int(found[1]), int(found[2]) if found[2] else None
    if last is not None and last < first:
        raise range_refused(
            "The lower boundary must be lower than or equal to the upper boundary in the Range header."
        )
    offset = max(first, selection.offset)
    ends = [end for end in (_end(selection), None if last is None else last + 1) if end is not None]
    return replace(selection, offset=offset, limit=max(0, min(ends) - offset) if ends else None)


def page_status(answer: Answer, offset: int) -> int:
    """Return 200 for all rows, 206 for a part of them.

    Raises:
        GatewayError: The part begins after the last row (PGRST103).
    """
    if answer.total is None:
        return 200
    if offset > answer.total:
        raise _beyond(offset, answer.total)
    return 206 if answer.rows < answer.total else 200


def content_range(first: int, rows: int, total: int | None) -> dict[str, str]:
    """Return the header that tells which rows these are: `0-9/57`, or `*` for what is none or not known."""
    shown = f"{first}-{first + rows - 1}" if rows and total != 0 else "*"
    return {"Content-Range": f"{shown}/{'*' if total is None else total}"}


def _end(selection: Selection) -> int | None:
    return None if selection.limit is None else selection.offset + selection.limit


def _beyond(offset: int, total: int) -> GatewayError:
    details = f"An offset of {offset} was requested, but there are only {total} rows."
    return range_refused(details, headers=content_range(offset, 0, total))
