"""Streams of events as server-sent events, for an HTTP response of whichever framework.

One `data:` line of JSON an event, then `data: [DONE]`; a comment when nothing has happened for a while, since clients take
a silent connection for dead.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from agent_worker.domain.events import error
from agent_worker.domain.json import JsonObject, dump_json

HEARTBEAT_S = 15.0


async def to_sse_stream(
    events: AsyncIterator[JsonObject], *, heartbeat_s: float = HEARTBEAT_S
) -> AsyncGenerator[str, None]:
    """Yield events as frames of `text/event-stream`.

    An exception of `events` becomes an event `error` of type `internal_error`, and no `[DONE]` follows. Closing this closes
    `events`.

    ```python
    @app.post("/run")
    async def run(topic: str) -> StreamingResponse:
        events = client.workers.execute("summarise", {"TOPIC": topic})
        return StreamingResponse(to_sse_stream(events), media_type="text/event-stream")
    ```

    Args:
        events: As `client.workers.execute` yields them.
        heartbeat_s: Longest silence.
    """
    upcoming: asyncio.Future[JsonObject | None] | None = None
    try:
        while True:
            upcoming = upcoming or asyncio.ensure_future(_next(events))
            done, _ = await asyncio.wait({upcoming}, timeout=heartbeat_s)
            if not done:
                yield ": heartbeat\n\n"
                continue
            event, upcoming = upcoming.result(), None
            if event is None:
                yield "data: [DONE]\n\n"
                return
            yield _frame(event)
    except Exception as exc:  # noqa: BLE001 - the response has begun; all that is left is to say so
        failure = error(code="internal_error", message=str(exc) or type(exc).__name__, retryable=True)
        yield _frame({"type": failure.type, **failure.data})
    finally:
        if upcoming is not None:
            upcoming.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await upcoming
        if isinstance(events, AsyncGenerator):
            await events.aclose()


async def _next(events: AsyncIterator[JsonObject]) -> JsonObject | None:
    return await anext(events, None)


def _frame(event: JsonObject) -> str:
    return f"data: {dump_json(event)}\n\n"
