"""Trying again inside an attempt: only what may help, only while nothing was shown, only for so long."""

from __future__ import annotations

import asyncio

import pytest
from llm_steps import hear, openai_chat, request

from agent_worker.domain.errors import UpstreamError
from agent_worker.llm.echo import EchoChat
from agent_worker.llm.retry import RetryingChat, RetryPolicy
from agent_worker.testing.openai_server import Cut, Reply, ScriptedOpenAI, Slow, Status, Text


class Clock:
    """Waits without waiting, and remembers how long."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.mark.parametrize(
    "refusal", [Status(429), Status(500), Status(503), Cut(after=0), Text("", finish_reason=None)]
)
async def test_transient_refusals_are_tried_again(refusal: Reply) -> None:
    clock = Clock()
    with ScriptedOpenAI(refusal, refusal, Text("at last")) as server:
        async with openai_chat(server) as model:
            heard = await hear(RetryingChat(model, sleep=clock.sleep), request())

    assert heard.text == "at last"
    assert len(server.requests) == 3
    assert len(clock.waits) == 2


async def test_retry_after_is_a_floor() -> None:
    clock = Clock()
    with ScriptedOpenAI(Status(429, retry_after_s=2), Text("ok")) as server:
        async with openai_chat(server) as model:
            await hear(RetryingChat(model, sleep=clock.sleep), request())

    assert 2 <= clock.waits[0] <= 2.5


async def test_a_wait_past_the_budget_is_left_to_the_engine() -> None:
    clock = Clock()
    with ScriptedOpenAI(Status(429, retry_after_s=60)) as server:
        async with openai_chat(server) as model:
            with pytest.raises(UpstreamError) as caught:
                await hear(RetryingChat(model, sleep=clock.sleep), request())

    assert caught.value.retry_after_s == 60
    assert clock.waits == []


async def test_tries_are_counted_and_the_last_error_goes_up() -> None:
    clock = Clock()
    with ScriptedOpenAI(Status(500), Status(502), Status(503)) as server:
        async with openai_chat(server) as model:
            with pytest.raises(UpstreamError) as caught:
                await hear(RetryingChat(model, RetryPolicy(tries=3), sleep=clock.sleep), request())

    assert caught.value.status == 503
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_permanent_refusals_are_not_tried_again(status: int) -> None:
    with ScriptedOpenAI(Status(status)) as server:
        async with openai_chat(server) as model:
            with pytest.raises(UpstreamError):
                await hear(RetryingChat(model, sleep=Clock().sleep), request())

    assert len(server.requests) == 1


async def test_after_the_first_piece_an_error_goes_up() -> None:
    with ScriptedOpenAI(Cut(after=1), Text("never asked")) as server:
        async with openai_chat(server) as model:
            with pytest.raises(UpstreamError):
                await hear(RetryingChat(model, sleep=Clock().sleep), request())

    assert len(server.requests) == 1


async def test_cancelling_reaches_the_stream_inside() -> None:
    with ScriptedOpenAI(Slow(per_token_s=60)) as server:
        async with openai_chat(server) as model:
            task = asyncio.create_task(hear(RetryingChat(model), request()))
            assert await asyncio.to_thread(server.wait_until, lambda s: len(s.requests) == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.wait_until, lambda s: s.abandoned == 1)


def test_it_goes_by_the_name_of_the_model_inside() -> None:
    assert RetryingChat(EchoChat()).id == "echo/echo"
