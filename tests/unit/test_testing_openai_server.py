"""The scripted server keeps to OpenAI's wire format, for streams and for whole answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from agent_worker.testing.openai_server import (
    Cut,
    ErrorEvent,
    Hang,
    JsonText,
    Refusal,
    Reply,
    ScriptedOpenAI,
    Slow,
    Status,
    Text,
    ToolCall,
)

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@contextmanager
def talking(*replies: Reply) -> Iterator[tuple[ScriptedOpenAI, openai.OpenAI]]:
    with (
        ScriptedOpenAI(*replies) as server,
        openai.OpenAI(api_key="any", base_url=server.base_url, max_retries=0, timeout=10) as client,
    ):
        yield server, client


def test_without_a_script_it_repeats_the_question() -> None:
    with talking() as (server, client):
        answer = client.chat.completions.create(**ASK)

    assert answer.choices[0].message.content == "scripted: hi"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert server.requests[0].body == ASK


def test_replies_come_in_order_and_more_can_be_added() -> None:
    with talking(Text("one")) as (server, client):
        server.script(JsonText([2]))
        said = [client.chat.completions.create(**ASK).choices[0].message.content for _ in range(3)]

    assert said == ["one", "[2]", "scripted: hi"]


def test_a_stream_has_role_pieces_reason_usage_and_an_end() -> None:
    with talking(Text("a b", chunks=("a", " ", "b"))) as (_, client):
        chunks = list(
            client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
        )

    assert [chunk.choices[0].delta.content for chunk in chunks[:-2]] == ["", "a", " ", "b"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert (chunks[-1].choices, chunks[-1].usage is not None) == ([], True)


def test_usage_is_streamed_only_when_asked_for() -> None:
    with talking(Text("a b")) as (_, client):
        chunks = list(client.chat.completions.create(**ASK, stream=True))

    assert all(chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("stream", [True, False])
def test_tool_calls_arrive_whole(*, stream: bool) -> None:
    with talking(ToolCall("weather", {"city": "Jena"}, call_id="c7")) as (_, client):
        if stream:
            deltas = [
                call
                for chunk in client.chat.completions.create(**ASK, stream=True)
                for call in chunk.choices[0].delta.tool_calls or []
            ]
            named = deltas[0].id, deltas[0].function.name if deltas[0].function else None
            arguments = "".join(call.function.arguments or "" for call in deltas if call.function)
        else:
            [call] = client.chat.completions.create(**ASK).choices[0].message.tool_calls or []
            assert call.type == "function"
            named, arguments = (call.id, call.function.name), call.function.arguments

    assert named == ("c7", "weather")
    assert json.loads(arguments) == {"city": "Jena"}


def test_a_refusal_has_no_content() -> None:
    with talking(Refusal("no")) as (_, client):
        message = client.chat.completions.create(**ASK).choices[0].message

    assert (message.content, message.refusal) == (None, "no")


def test_a_status_carries_code_and_retry_after_and_keeps_the_connection() -> None:
    with talking(Status(429, retry_after_s=3, code="rate_limit_exceeded")) as (_, client):
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(**ASK)
        assert client.chat.completions.create(**ASK).choices[0].message.content == "scripted: hi"

    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "3"


@pytest.mark.parametrize("stream", [True, False])
def test_a_cut_is_seen_as_a_broken_connection(*, stream: bool) -> None:
    with talking(Cut(after=1)) as (_, client), pytest.raises(openai.APIConnectionError):
        list(client.chat.completions.create(**ASK, stream=stream))


def test_an_error_event_ends_a_stream_and_a_status_500_a_whole_answer() -> None:
    with talking(ErrorEvent(after=1, message="overheated"), ErrorEvent()) as (_, client):
        with pytest.raises(openai.APIError, match="overheated"):
            list(client.chat.completions.create(**ASK, stream=True))
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(**ASK)


def test_clients_that_leave_are_counted() -> None:
    with talking(Slow(first_token_s=60), Hang()) as (server, client):
        for _ in range(2):
            with pytest.raises(openai.APITimeoutError):
                client.with_options(timeout=0.05).chat.completions.create(**ASK)
        assert server.wait_until(lambda s: s.abandoned == 2)


def test_waiting_for_what_never_happens_ends_at_the_deadline() -> None:
    with ScriptedOpenAI() as server:
        assert not server.wait_until(lambda s: s.abandoned > 0, timeout_s=0.01)


def test_models_are_listed_and_other_routes_are_not_found() -> None:
    with talking() as (server, client):
        assert [model.id for model in client.models.list()] == ["scripted"]
        with pytest.raises(openai.NotFoundError):
            client.embeddings.create(model="m", input="x")

    assert [recorded.path for recorded in server.requests] == ["/v1/models", "/v1/embeddings"]


def test_a_taken_port_is_an_error_at_start() -> None:
    with ScriptedOpenAI() as server:
        port = int(server.base_url.split(":")[2].removesuffix("/v1"))
        with pytest.raises(OSError, match="address"):
            ScriptedOpenAI(port=port).start()


def test_stopping_twice_or_unstarted_is_fine() -> None:
    ScriptedOpenAI().stop()
    server = ScriptedOpenAI()
    server.start()
    server.stop()
    server.stop()


def test_a_shell_gets_its_url_on_the_first_line() -> None:
    command = [sys.executable, "-m", "agent_worker.testing.openai_server", "--reply", "as told"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with openai.OpenAI(api_key="any", base_url=url, timeout=10) as client:
            assert client.chat.completions.create(**ASK).choices[0].message.content == "as told"
        process.terminate()
