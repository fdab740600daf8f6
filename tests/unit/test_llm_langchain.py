"""LangChain with the real langchain-openai package against the scripted server, and its providers' errors."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from types import SimpleNamespace

import pytest
from llm_steps import SCHEMA, hear, langchain_chat, request

from agent_worker.domain.chat import ChatMessage, ChatRequest, TextDelta, Thinking
from agent_worker.domain.errors import ProcessorError, UpstreamError
from agent_worker.llm.langchain import (
    LANGCHAIN_OPENAI,
    PROVIDERS,
    LangChainChat,
    finish_reason,
    thinking_options,
)
from agent_worker.llm.langchain_errors import translate
from agent_worker.llm.openai_access import Timeouts
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
        async with langchain_chat(server) as model:
            heard = await hear(model, request("say something"))

    assert model.id == "langchain-openai/gpt-test"
    assert heard.pieces == ["three", " small", " words"]
    assert heard.finished.reason == "stop"
    assert heard.finished.model == "gpt-test"
    assert heard.finished.usage.output_tokens == 3
    assert heard.finished.usage.input_tokens > 0


async def test_request_carries_messages_and_options() -> None:
    asked = ChatRequest(
        messages=(
            ChatMessage("system", "be brief"),
            ChatMessage("user", "hi"),
            ChatMessage("assistant", "yes?"),
        ),
        temperature=0.5,
        max_tokens=7,
    )
    with ScriptedOpenAI() as server:
        async with langchain_chat(server) as model:
            await hear(model, asked)

    body = server.requests[0].body
    assert body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes?"},
    ]
    assert (body["temperature"], body["max_completion_tokens"]) == (0.5, 7)


@pytest.mark.parametrize("reply", [JsonText({"city": "Jena"}), ToolCall("answer", {"city": "Jena"})])
async def test_json_schema_goes_through_langchains_structured_output(reply: JsonText | ToolCall) -> None:
    """LangChain uses response_format or a forced tool call, by provider; either way the JSON is the answer."""
    with ScriptedOpenAI(reply) as server:
        async with langchain_chat(server) as model:
            heard = await hear(model, request(json_schema=SCHEMA))

    assert heard.text == '{"city": "Jena"}'
    assert heard.finished.reason == "stop"
    assert heard.finished.usage.input_tokens > 0
    sent = server.requests[0].body["response_format"]
    assert isinstance(sent, dict)
    assert sent["json_schema"]["name"] == "answer"


async def test_json_cut_at_the_token_limit_is_told_as_length() -> None:
    with ScriptedOpenAI(JsonText({"city": "Jena"}, finish_reason="length")) as server:
        async with langchain_chat(server) as model:
            assert (await hear(model, request(json_schema=SCHEMA))).finished.reason == "length"


async def test_a_refused_structured_answer_is_told_as_content_filter() -> None:
    with ScriptedOpenAI(Refusal("I will not.")) as server:
        async with langchain_chat(server) as model:
            heard = await hear(model, request(json_schema=SCHEMA))

    assert heard.finished.reason == "content-filter"
    assert heard.text == "I will not."


@pytest.mark.parametrize(
    ("reply", "code", "retryable"),
    [
        (Status(401, code="invalid_api_key"), "upstream_unauthorized", False),
        (Status(404), "model_not_found", False),
        (Status(429), "rate_limited", True),
        (Status(500), "upstream_error", True),
        (Status(429, code="insufficient_quota"), "quota_exceeded", False),
        (Cut(after=0), "upstream_unreachable", True),
        (ErrorEvent(after=0), "upstream_unreachable", True),
        (Text("no end", finish_reason=None), "upstream_unreachable", True),
    ],
)
async def test_refusals_become_domain_errors(
    reply: Status | Cut | ErrorEvent | Text, code: str, *, retryable: bool
) -> None:
    with ScriptedOpenAI(reply) as server:
        async with langchain_chat(server) as model:
            with pytest.raises(ProcessorError) as caught:
                await hear(model, request())

    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert len(server.requests) == 1, "LangChain itself must not retry"


async def test_retry_after_reaches_the_error() -> None:
    with ScriptedOpenAI(Status(429, retry_after_s=17)) as server:
        async with langchain_chat(server) as model:
            with pytest.raises(UpstreamError) as caught:
                await hear(model, request())

    assert caught.value.retry_after_s == 17


async def test_a_silent_server_is_given_up_after_silence_s() -> None:
    with ScriptedOpenAI(Hang()) as server:
        async with langchain_chat(server, timeouts=Timeouts(silence_s=0.05)) as model:
            with pytest.raises(UpstreamError, match="did not answer in time"):
                await hear(model, request())


@pytest.mark.parametrize("reply", [Hang(), Slow(per_token_s=60)])
async def test_cancelling_closes_the_connection_at_once(reply: Hang | Slow) -> None:
    with ScriptedOpenAI(reply) as server:
        async with langchain_chat(server) as model:
            task = asyncio.create_task(hear(model, request()))
            assert await asyncio.to_thread(server.wait_until, lambda s: len(s.requests) == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.wait_until, lambda s: s.abandoned == 1)


async def test_leaving_early_closes_the_connection_at_once() -> None:
    with ScriptedOpenAI(Slow(per_token_s=60, text="one two three")) as server:
        async with langchain_chat(server) as model:
            async with aclosing(model.stream(request())) as chunks:
                assert await anext(chunks) == TextDelta("one")
            assert await asyncio.to_thread(server.wait_until, lambda s: s.abandoned == 1)


def test_a_missing_integration_names_the_command() -> None:
    with pytest.raises(ProcessorError, match="pip install langchain-anthropic") as caught:
        LangChainChat("anthropic/claude-sonnet-5")

    assert (caught.value.code, caught.value.retryable) == ("missing_package", False)


async def test_a_model_that_cannot_be_set_up_points_to_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("AZURE_OPENAI_API_KEY", raising=False)
    with pytest.raises(ProcessorError) as caught:
        await hear(LangChainChat("azure_openai/gpt-test"), request())

    assert (caught.value.code, caught.value.retryable) == ("missing_key", False)


def test_providers_are_those_langchain_knows_with_its_packages() -> None:
    from langchain.chat_models import base

    for provider, package in PROVIDERS.items():
        module, _, _ = base._BUILTIN_PROVIDERS["openai" if provider == LANGCHAIN_OPENAI else provider]
        assert module.partition(".")[0].replace("_", "-") == package


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"finish_reason": "stop"}, "stop"),
        ({"finish_reason": "MAX_TOKENS"}, "length"),
        ({"stop_reason": "end_turn"}, "stop"),
        ({"stop_reason": "refusal"}, "content-filter"),
        ({"stopReason": "guardrail_intervened"}, "content-filter"),
        ({"done_reason": "length"}, "length"),
        ({"finish_reason": "SAFETY"}, "content-filter"),
        ({"stop_reason": "tool_use"}, "tool-calls"),
        ({"finish_reason": "weather"}, "other"),
        ({"stop_reason": None}, None),
        ({}, None),
    ],
)
def test_finish_reasons_of_many_providers(metadata: dict[str, str | None], reason: str | None) -> None:
    assert finish_reason(metadata) == reason


class APIError(Exception):
    """What generated SDKs call their root."""


class GoogleError(APIError):
    """google.genai keeps the status in `code`."""

    code = 503


class BotoError(Exception):
    """botocore keeps the status in a dict."""

    def __init__(self) -> None:
        self.response = {"ResponseMetadata": {"HTTPStatusCode": 429}}


class HTTPStatusError(Exception):
    """httpx keeps it in the response; mistral and ollama let it through."""

    response = SimpleNamespace(status_code=401, headers={"retry-after": "3"})


class ModelRateLimitError(Exception):
    """langchain-core's own, without a status."""


class ConnectTimeout(TimeoutError):
    """Any library's."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (GoogleError(), "upstream_error"),
        (BotoError(), "rate_limited"),
        (HTTPStatusError(), "upstream_unauthorized"),
        (ModelRateLimitError(), "rate_limited"),
        (ConnectTimeout(), "upstream_unreachable"),
        (ConnectionResetError(), "upstream_unreachable"),
        (APIError(), "upstream_unreachable"),
    ],
)
def test_errors_of_other_sdks_are_recognised(error: Exception, code: str) -> None:
    known = translate("acme", error)

    assert isinstance(known, UpstreamError)
    assert known.code == code


def test_the_cause_of_an_error_counts() -> None:
    outer = ValueError("wrapped by an integration")
    outer.__cause__ = GoogleError()

    known = translate("google_genai", outer)

    assert isinstance(known, UpstreamError)
    assert known.status == 503


def test_a_bug_is_not_mistaken_for_the_providers_failure() -> None:
    assert translate("acme", KeyError("choices")) is None


async def test_how_much_to_think_reaches_the_provider() -> None:
    with ScriptedOpenAI() as server:
        async with langchain_chat(server) as model:
            for thinking in ("low", "max", "off", None):
                await hear(model, replace(request(), thinking=thinking))

    sent = [recorded.body.get("reasoning_effort") for recorded in server.requests]
    assert sent == ["low", "xhigh", "none", None]


@pytest.mark.parametrize(
    ("provider", "thinking", "options"),
    [
        ("anthropic", "max", {"reasoning_effort": "max"}),
        ("anthropic", "off", {"thinking": {"type": "disabled"}}),
        ("google_genai", "max", {"reasoning_effort": "high"}),
        ("google_genai", "off", {"thinking_budget": 0}),
        ("cohere", "high", {}),
    ],
)
def test_each_provider_is_told_in_its_own_way_how_much_to_think(
    provider: str, thinking: Thinking, options: dict[str, object]
) -> None:
    assert thinking_options(provider, thinking) == options
