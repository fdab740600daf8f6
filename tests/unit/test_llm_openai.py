"""The real openai client against the scripted server: what stands on the wire, and what comes of it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from llm_steps import KEY, SCHEMA, hear, openai_chat, request
from pydantic import SecretStr

from agent_worker.domain.chat import ChatMessage, ChatRequest, TextDelta, Usage
from agent_worker.domain.errors import ProcessorError, UpstreamError
from agent_worker.llm.openai import OpenAIChat
from agent_worker.llm.openai_access import OpenAIAccess, Timeouts
from agent_worker.testing.openai_server import (
    Cut,
    ErrorEvent,
    Hang,
    JsonText,
    Refusal,
    ScriptedOpenAI,
    Slow,
    Status,
    Text,
    ToolCall,
)


async def test_text_streams_piece_by_piece_with_usage_and_the_servers_model_name() -> None:
    with ScriptedOpenAI(Text("three small words")) as server:
        async with openai_chat(server) as model:
            heard = await hear(model, request("say something"))

    assert heard.pieces == ["three", " small", " words"]
    assert heard.finished.reason == "stop"
    assert heard.finished.model == "gpt-test"
    assert heard.finished.usage.output_tokens == 3
    assert heard.finished.usage.input_tokens > 0


async def test_request_carries_what_was_asked_and_nothing_else() -> None:
    asked = ChatRequest(
        messages=(ChatMessage("system", "be brief"), ChatMessage("user", "hi")), temperature=0.5, max_tokens=7
    )
    with ScriptedOpenAI() as server:
        async with openai_chat(server) as model:
            await hear(model, asked)
            await hear(model, request())

    full, bare = (dict(recorded.body) for recorded in server.requests)
    assert full == {
        "model": "gpt-test",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 7,
    }
    assert bare.keys() == {"model", "messages", "stream", "stream_options"}
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY.get_secret_value()}"


@pytest.mark.parametrize(
    ("url", "is_openai"),
    [
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1/", True),
        ("https://mine.openai.azure.com/openai/v1", True),
        ("https://api.openai.com.example.org/v1", False),
        ("http://127.0.0.1:8000/v1", False),
    ],
)
def test_only_openai_itself_gets_the_newer_token_limit(url: str, *, is_openai: bool) -> None:
    assert OpenAIAccess(api_key=KEY, base_url=url).is_openai is is_openai


async def test_model_name_may_hold_slashes() -> None:
    with ScriptedOpenAI() as server:
        async with openai_chat(server, model_id="openai/meta-llama/Llama-4") as model:
            heard = await hear(model, request())

    assert server.requests[0].body["model"] == "meta-llama/Llama-4"
    assert heard.finished.model == "meta-llama/Llama-4"


async def test_json_schema_is_sent_strict_when_it_qualifies() -> None:
    open_schema = {"title": "Town", "type": "object", "properties": {"city": {"type": "string"}}}
    with ScriptedOpenAI(JsonText({"city": "Jena", "population": 110_000}), JsonText({})) as server:
        async with openai_chat(server) as model:
            heard = await hear(model, request(json_schema=SCHEMA))
            await hear(model, request(json_schema=open_schema))

    assert heard.text == '{"city": "Jena", "population": 110000}'
    sent = [recorded.body["response_format"] for recorded in server.requests]
    assert sent == [
        {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}},
        {"type": "json_schema", "json_schema": {"name": "Town", "schema": open_schema, "strict": False}},
    ]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Text("cut sho", finish_reason="length"), "length"),
        (Text("", finish_reason="content_filter"), "content-filter"),
        (Text("hm", finish_reason="a_new_reason"), "other"),
        (ToolCall("weather", {"city": "Jena"}), "tool-calls"),
        (Refusal("I will not."), "content-filter"),
        (Status(400, code="content_filter"), "content-filter"),
    ],
)
async def test_finish_reasons_are_told_in_our_words(
    reply: Text | ToolCall | Refusal | Status, reason: str
) -> None:
    with ScriptedOpenAI(reply) as server:
        async with openai_chat(server) as model:
            assert (await hear(model, request())).finished.reason == reason


async def test_a_refusal_is_shown_as_text() -> None:
    with ScriptedOpenAI(Refusal("I will not.")) as server:
        async with openai_chat(server) as model:
            assert (await hear(model, request())).text == "I will not."


@pytest.mark.parametrize(
    ("reply", "code", "retryable"),
    [
        (Status(401, code="invalid_api_key"), "upstream_unauthorized", False),
        (Status(404, code="model_not_found"), "model_not_found", False),
        (Status(400, code="context_length_exceeded"), "upstream_refused", False),
        (Status(429), "rate_limited", True),
        (Status(500), "upstream_error", True),
        (Status(503), "upstream_error", True),
        (Status(429, code="insufficient_quota"), "quota_exceeded", False),
    ],
)
async def test_refusals_become_domain_errors(reply: Status, code: str, *, retryable: bool) -> None:
    with ScriptedOpenAI(reply) as server:
        async with openai_chat(server) as model:
            with pytest.raises(ProcessorError) as caught:
                await hear(model, request())

    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert len(server.requests) == 1, "the client itself must not retry"


async def test_errors_name_status_and_code_but_never_the_providers_text() -> None:
    leak = "Incorrect API key provided: sk-secret-of-the-test"
    with ScriptedOpenAI(Status(401, code="invalid_api_key", message=leak)) as server:
        async with openai_chat(server) as model:
            with pytest.raises(UpstreamError) as caught:
                await hear(model, request())

    assert (
        str(caught.value) == "openai refused the credentials; check the API key (HTTP 401, invalid_api_key)."
    )
    assert caught.value.status == 401
    assert caught.value.provider == "openai"


async def test_retry_after_reaches_the_error() -> None:
    with ScriptedOpenAI(Status(429, retry_after_s=17)) as server:
        async with openai_chat(server) as model:
            with pytest.raises(UpstreamError) as caught:
                await hear(model, request())

    assert caught.value.retry_after_s == 17


@pytest.mark.parametrize("reply", [Cut(after=2), Text("no end", finish_reason=None), ErrorEvent(after=2)])
async def test_a_stream_that_breaks_off_is_transient_after_its_text(reply: Cut | Text | ErrorEvent) -> None:
    with ScriptedOpenAI(reply) as server:
        async with openai_chat(server) as model, aclosing(model.stream(request())) as chunks:
            for _ in range(2):
                assert isinstance(await anext(chunks), TextDelta)
            with pytest.raises(UpstreamError) as caught:
                await anext(chunks)

    assert (caught.value.status, caught.value.retryable) == (None, True)


async def test_nobody_listening_is_transient() -> None:
    with ScriptedOpenAI() as server:
        url = server.base_url
    access = OpenAIAccess(api_key=SecretStr("any"), base_url=url)

    with pytest.raises(UpstreamError) as caught:
        await hear(OpenAIChat("openai/x", access), request())
    await access.close()

    assert caught.value.code == "upstream_unreachable"
    assert caught.value.retryable


async def test_a_silent_server_is_given_up_after_silence_s() -> None:
    with ScriptedOpenAI(Hang()) as server:
        async with openai_chat(server, timeouts=Timeouts(silence_s=0.05)) as model:
            with pytest.raises(UpstreamError, match="did not answer in time"):
                await hear(model, request())
            assert await asyncio.to_thread(server.wait_until, lambda s: s.abandoned == 1)


@pytest.mark.parametrize("reply", [Hang(), Slow(first_token_s=60), Slow(per_token_s=60)])
async def test_cancelling_closes_the_connection_at_once(reply: Hang | Slow) -> None:
    with ScriptedOpenAI(reply) as server:
        async with openai_chat(server) as model:
            task = asyncio.create_task(hear(model, request()))
            assert await asyncio.to_thread(server.wait_until, lambda s: len(s.requests) == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.wait_until, lambda s: s.abandoned == 1)


async def test_leaving_early_closes_the_connection_at_once() -> None:
    with ScriptedOpenAI(Slow(per_token_s=60, text="one two three")) as server:
        async with openai_chat(server) as model:
            async with aclosing(model.stream(request())) as chunks:
                assert await anext(chunks) == TextDelta("one")
            assert await asyncio.to_thread(server.wait_until, lambda s: s.abandoned == 1)


@pytest.mark.parametrize(("keeps", "told"), [(True, "keep-alive"), (False, "close")])
async def test_a_server_is_told_whether_its_connection_is_used_again(*, keeps: bool, told: str) -> None:
    with ScriptedOpenAI() as server:
        access = OpenAIAccess(api_key=KEY, base_url=server.base_url, keeps_connections=keeps)
        await hear(OpenAIChat("openai/x", access), request())
        await access.close()
    assert server.requests[0].headers["connection"] == told


async def test_connections_are_opened_again_after_close() -> None:
    with ScriptedOpenAI() as server:
        access = OpenAIAccess(api_key=KEY, base_url=server.base_url)
        model = OpenAIChat("openai/x", access)
        for _ in range(2):
            assert (await hear(model, request("once"))).text == "scripted: once"
            await access.close()


async def test_usage_is_zero_when_the_server_does_not_say() -> None:
    with ScriptedOpenAI(Status(400, code="content_filter")) as server:
        async with openai_chat(server) as model:
            assert (await hear(model, request())).finished.usage == Usage()
