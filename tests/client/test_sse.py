"""Events as server-sent events, also when they stop, break off, or nobody reads them any more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

from agent_worker.client import StreamEvent, to_sse_stream


async def two() -> AsyncGenerator[StreamEvent, None]:
    yield {"type": "text-delta", "id": "t", "delta": "a\nb\u2028\ud800"}
    yield {"type": "finish", "finishReason": "stop"}


async def test_each_event_is_a_frame_and_the_last_says_that_it_is_done() -> None:
    frames = [frame async for frame in to_sse_stream(two())]
    assert frames[-1] == "data: [DONE]\n\n"
    assert [json.loads(frame.removeprefix("data: "))["type"] for frame in frames[:-1]] == [
        "text-delta",
        "finish",
    ]
    assert all(len(frame.splitlines()) == 2 for frame in frames)
    assert "".join(frames).encode(), "a lone surrogate cannot be sent"


async def test_what_breaks_is_told_and_is_not_done() -> None:
    async def broken() -> AsyncGenerator[StreamEvent, None]:
        yield {"type": "start"}
        raise LookupError("gone")

    frames = [frame async for frame in to_sse_stream(broken())]
    error = json.loads(frames[-1].removeprefix("data: "))
    assert (error["type"], error["errorType"], error["message"]) == ("error", "internal_error", "gone")
    assert "[DONE]" not in "".join(frames)


async def test_silence_is_filled_with_heartbeats_and_loses_nothing() -> None:
    go = asyncio.Event()

    async def slow() -> AsyncGenerator[StreamEvent, None]:
        await go.wait()
        yield {"type": "start"}

    frames = to_sse_stream(slow(), heartbeat_s=0.01)
    assert [await anext(frames) for _ in range(3)] == [": heartbeat\n\n"] * 3
    go.set()
    rest = [frame async for frame in frames if not frame.startswith(":")]
    assert rest == ['data: {"type":"start"}\n\n', "data: [DONE]\n\n"]


async def test_who_stops_reading_closes_the_events() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[StreamEvent, None]:
        try:
            yield {"type": "start"}
            await asyncio.Event().wait()
        finally:
            closed.set()

    frames = to_sse_stream(endless(), heartbeat_s=0.01)
    assert (await anext(frames)).startswith("data:")
    assert await anext(frames) == ": heartbeat\n\n"
    await frames.aclose()
    assert closed.is_set()
