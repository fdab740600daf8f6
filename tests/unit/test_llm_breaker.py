"""Models behind breakers, against a server that is overloaded: who is let through, who is turned away, and when."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from llm_steps import KEY, hear, openai_chat, request
from structlog.testing import capture_logs

from agent_worker.domain.chat import ChatModel
from agent_worker.domain.circuit import BreakerPolicy
from agent_worker.domain.errors import ProviderPaused, UpstreamError
from agent_worker.domain.json import JsonObject
from agent_worker.llm.breaker import Breaker, GuardedChat
from agent_worker.llm.models import Models
from agent_worker.llm.retry import RetryPolicy
from agent_worker.testing.openai_server import (
    Cut,
    ErrorEvent,
    Hang,
    Reply,
    ScriptedOpenAI,
    Slow,
    Status,
    Text,
)

NOWHERE = Path("/nonexistent/data")
NO_RETRY = RetryPolicy(tries=1)
FAR_S = 10_000.0
"""Past any pause."""


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("openai/gpt-test", clock=clock, roll=lambda: 0.5)


@contextlib.asynccontextmanager
async def guarded(server: ScriptedOpenAI, breaker: Breaker) -> AsyncIterator[GuardedChat]:
    async with openai_chat(server) as model:
        yield GuardedChat(model, breaker)


@contextlib.asynccontextmanager
async def opened(
    server: ScriptedOpenAI,
    *,
    retry: RetryPolicy = NO_RETRY,
    breaker: BreakerPolicy = BreakerPolicy(),  # noqa: B008 - frozen
    on_pause: Callable[[str], None] = lambda _provider: None,
) -> AsyncIterator[Models]:
    models = Models(
        openai_api_key=KEY,
        openai_base_url=server.base_url,
        data_dir=NOWHERE,
        retry=retry,
        breaker=breaker,
        on_pause=on_pause,
    )
    try:
        yield models
    finally:
        await models.close()


async def failure(model: ChatModel, text: str = "hi") -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await hear(model, request(text))
    return caught.value


def always(reply: Reply) -> Callable[[JsonObject], Reply]:
    return lambda _request: reply


async def test_the_third_429_pauses_the_model_and_no_more_requests_are_sent(breaker: Breaker) -> None:
    with ScriptedOpenAI(default=always(Status(429))) as server:
        async with guarded(server, breaker) as model:
            codes = [(await failure(model)).code for _ in range(10)]

    assert codes == ["rate_limited"] * 2 + ["provider_paused"] * 8
    assert len(server.requests) == 3


async def test_whoever_is_turned_away_learns_when_to_come_back(breaker: Breaker) -> None:
    with ScriptedOpenAI(Status(503, retry_after_s=30)) as server:
        async with guarded(server, breaker) as model:
            opener, next_one = await failure(model), await failure(model)

    assert isinstance(opener, ProviderPaused)
    assert isinstance(next_one, ProviderPaused)
    assert opener.retry_after_s is not None
    assert 30 <= opener.retry_after_s <= 34
    assert next_one.retryable
    assert "openai/gpt-test" in str(next_one)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500])
async def test_refusals_of_the_request_itself_never_pause_a_model(breaker: Breaker, status: int) -> None:
    with ScriptedOpenAI(default=always(Status(status, retry_after_s=60))) as server:
        async with guarded(server, breaker) as model:
            for n in range(10):
                assert (await failure(model, f"question {n}")).status == status

    assert not breaker.is_open
    assert len(server.requests) == 10


@pytest.mark.parametrize(
    "reply",
    [Cut(after=0), Cut(after=2), ErrorEvent(), Status(502), Status(504), Text("x", finish_reason=None)],
    ids=["cut at once", "cut later", "broken", "502", "504", "no end"],
)
async def test_answers_that_never_come_pause_the_model_and_cost_their_attempts(
    breaker: Breaker, reply: Reply
) -> None:
    with ScriptedOpenAI(default=always(reply)) as server:
        async with guarded(server, breaker) as model:
            errors = [await failure(model, f"question {n}") for n in range(4)]

    assert [isinstance(error, ProviderPaused) for error in errors] == [False, False, False, True]
    assert len(server.requests) == 3


async def test_a_request_that_breaks_its_provider_harms_nobody_else(breaker: Breaker) -> None:
    def crash_on_poison(asked: JsonObject) -> Reply:
        return Cut(after=0) if "poison" in str(asked["messages"]) else Text("fine")

    with ScriptedOpenAI(default=crash_on_poison) as server:
        async with guarded(server, breaker) as model:
            for _ in range(10):
                assert not isinstance(await failure(model, "poison"), ProviderPaused)
            assert (await hear(model, request("food"))).text == "fine"


async def test_a_request_too_large_for_the_quota_pays_in_the_end_and_lets_others_through(
    clock: Clock,
) -> None:
    def refuse_the_large(asked: JsonObject) -> Reply:
        return Status(429) if "large" in str(asked["messages"]) else Text("fine")

    breaker = Breaker("openai/m", BreakerPolicy(failures=1, most_refusals=4), clock=clock)
    with ScriptedOpenAI(default=refuse_the_large) as server:
        async with guarded(server, breaker) as model:
            codes = []
            for _ in range(6):
                codes.append((await failure(model, "large")).code)
                clock.now += FAR_S
                assert (await hear(model, request("small"))).text == "fine"

    assert codes == ["provider_paused"] * 4 + ["rate_limited"] * 2
    assert not breaker.is_open


async def test_equal_requests_refused_together_count_as_one_refusal(clock: Clock) -> None:
    breaker = Breaker("openai/m", BreakerPolicy(failures=1, most_refusals=1), clock=clock)
    with ScriptedOpenAI(default=always(Status(429))) as server:
        async with guarded(server, breaker) as model:
            ends = await asyncio.gather(*(failure(model, "ping") for _ in range(10)))
            clock.now += FAR_S
            probe = await failure(model, "ping")

    assert {end.code for end in ends} == {"provider_paused"}
    assert probe.code == "rate_limited"
    assert breaker.is_open, "the probe told nothing, so another one may try"


async def test_exactly_one_of_many_is_the_probe(breaker: Breaker, clock: Clock) -> None:
    with ScriptedOpenAI(
        Status(429), Status(429), Status(429), default=always(Slow(0.3, 0, "back"))
    ) as server:
        async with guarded(server, breaker) as model:
            for _ in range(3):
                await failure(model)
            clock.now = FAR_S
            ends = await asyncio.gather(*(hear(model, request()) for _ in range(50)), return_exceptions=True)
            after = await asyncio.gather(*(hear(model, request()) for _ in range(5)))

    assert sum(isinstance(end, ProviderPaused) for end in ends) == 49
    assert [heard.text for heard in after] == ["back"] * 5
    assert len(server.requests) == 3 + 1 + 5


async def test_a_probe_that_fails_lengthens_the_pause(breaker: Breaker, clock: Clock) -> None:
    with ScriptedOpenAI(default=always(Status(429))) as server:
        async with guarded(server, breaker) as model:
            for _ in range(3):
                await failure(model)
            first_s = (await failure(model)).retry_after_s
            clock.now = FAR_S
            assert isinstance(await failure(model), ProviderPaused), "the probe costs its task no attempt"
            second_s = (await failure(model)).retry_after_s

    assert first_s is not None
    assert second_s is not None
    assert second_s > first_s
    assert len(server.requests) == 4


async def test_the_model_is_open_to_all_as_soon_as_the_probe_speaks(breaker: Breaker, clock: Clock) -> None:
    with ScriptedOpenAI(
        Status(429), Status(429), Status(429), Slow(per_token_s=60), default=always(Text("me too"))
    ) as server:
        async with guarded(server, breaker) as model:
            for _ in range(3):
                await failure(model)
            clock.now = FAR_S
            async with contextlib.aclosing(model.stream(request())) as probe:
                await anext(probe)
                assert (await hear(model, request())).text == "me too"


async def test_a_cancelled_probe_makes_room_for_another(breaker: Breaker, clock: Clock) -> None:
    with ScriptedOpenAI(Status(429), Status(429), Status(429), Hang(), default=always(Text("ok"))) as server:
        async with guarded(server, breaker) as model:
            for _ in range(3):
                await failure(model)
            clock.now = FAR_S
            probe = asyncio.create_task(hear(model, request()))
            assert await asyncio.to_thread(server.wait_until, lambda s: len(s.requests) == 4)
            assert isinstance(await failure(model), ProviderPaused)
            probe.cancel()
            with pytest.raises(asyncio.CancelledError):
                await probe
            assert (await hear(model, request())).text == "ok"


async def test_waits_between_tries_end_when_the_model_is_paused() -> None:
    long = RetryPolicy(tries=3, base_s=3600, total_s=86_400)
    with ScriptedOpenAI(default=always(Status(429))) as server:
        async with opened(server, retry=long) as models:
            model = models.get("openai/m")
            async with asyncio.timeout(60):
                ends = await asyncio.gather(*(failure(model, f"question {n}") for n in range(8)))

    assert all(isinstance(end, ProviderPaused) for end in ends)
    assert len(server.requests) == 8


async def test_a_task_alone_in_a_storm_is_paused_before_its_tries_are_used_up() -> None:
    with ScriptedOpenAI(default=always(Status(429))) as server:
        async with opened(server, retry=RetryPolicy(base_s=0.001)) as models:
            assert isinstance(await failure(models.get("openai/m")), ProviderPaused)

    assert len(server.requests) == 3


async def test_a_probe_without_an_answer_costs_its_attempt_instead_of_waiting_in_its_slot() -> None:
    at_once = BreakerPolicy(first_pause_s=0.0, max_retry_after_s=0.0)
    long = RetryPolicy(base_s=3600, total_s=86_400)
    with ScriptedOpenAI(Status(429, retry_after_s=9), default=always(Cut(after=0))) as server:
        async with opened(server, retry=long, breaker=at_once) as models, asyncio.timeout(60):
            model = models.get("openai/m")
            assert isinstance(await failure(model), ProviderPaused)
            probe = await failure(model)

    assert (probe.code, isinstance(probe, ProviderPaused)) == ("upstream_unreachable", False)
    assert len(server.requests) == 2


async def test_after_a_storm_a_lone_refusal_is_tried_again_inside_the_attempt() -> None:
    at_once = BreakerPolicy(first_pause_s=0.0)
    storm = itertools.repeat(Status(429), 3)
    with ScriptedOpenAI(*storm, Text("over"), Status(429), Text("at last")) as server:
        async with opened(server, retry=RetryPolicy(base_s=0.001), breaker=at_once) as models:
            model = models.get("openai/m")
            assert isinstance(await failure(model), ProviderPaused)
            assert (await hear(model, request())).text == "over"
            assert (await hear(model, request())).text == "at last"


async def test_models_of_one_provider_are_paused_apart_and_counted() -> None:
    def storm_on_a(asked: JsonObject) -> Reply:
        return Status(429, retry_after_s=60) if asked["model"] == "a" else Text("b answers")

    pauses: list[str] = []
    with ScriptedOpenAI(default=storm_on_a) as server:
        async with opened(server, on_pause=pauses.append) as models:
            assert isinstance(await failure(models.get("openai/a")), ProviderPaused)
            assert (await hear(models.get("openai/b"), request())).text == "b answers"
            assert isinstance(await failure(models.get("openai/a")), ProviderPaused)
            assert (models.open_breakers, pauses) == (1, ["openai"])

    assert [asked.body["model"] for asked in server.requests] == ["a", "b"]


async def test_opening_and_closing_are_told_once_each(breaker: Breaker, clock: Clock) -> None:
    with ScriptedOpenAI(*itertools.repeat(Status(429), 3)) as server, capture_logs() as logs:
        async with guarded(server, breaker) as model:
            for _ in range(5):
                await failure(model)
            clock.now = 100.0
            await hear(model, request())
            await hear(model, request())

    assert logs == [
        {
            "event": "breaker.opened",
            "log_level": "warning",
            "provider": "openai",
            "model": "openai/gpt-test",
            "code": "rate_limited",
            "pause_s": 3.0,
        },
        {
            "event": "breaker.closed",
            "log_level": "info",
            "provider": "openai",
            "model": "openai/gpt-test",
            "after_s": 100.0,
        },
    ]
