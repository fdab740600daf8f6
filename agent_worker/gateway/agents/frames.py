"""Server-sent events as clients of the worker protocol read them.

They split at line feeds, want the prefix `data: ` with its space, one line for each event, and `[DONE]` at the end. `id:` is
the number of the event in the run, for `Last-Event-ID`; they pass over it, and over comments.

Source of the format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from agent_worker.domain.json import JsonObject

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    # nginx would keep the events until it has a few kilobytes of them.
    "X-Accel-Buffering": "no",
}

DONE = b"data: [DONE]\n\n"
"""Nothing follows. A stream that ends without it was cut, and can be taken up again."""

HEARTBEAT = b": heartbeat\n\n"

# Text of other alphabets is escaped: some readers take U+2028 and its like, which JSON leaves as they are, for line ends.
_encode = json.JSONEncoder(separators=(",", ":")).encode


def frames(seq: int | None, events: Sequence[JsonObject]) -> bytes:
    """Return the frames of what one row of the stream became.

    Only the last bears the row's number: whoever has read a part of them and comes back gets them all.

    Args:
        seq: The row's; None where no row stands behind them.
        events: What it became, in order.
    """
    parts = [f"data: {_encode(event)}\n\n" for event in events]
    if parts and seq is not None:
        parts[-1] = f"id: {seq}\n{parts[-1]}"
    return "".join(parts).encode("ascii")
