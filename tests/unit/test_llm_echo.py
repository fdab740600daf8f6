"""The echo model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_steps import SCHEMA, hear, request

from agent_worker.domain.chat import ChatMessage, ChatRequest, Usage
from agent_worker.domain.errors import ProcessorError
from agent_worker.llm.echo import EchoChat, split_words


async def test_the_last_user_message_comes_back_word_by_word() -> None:
    asked = ChatRequest(
        messages=(
            ChatMessage("system", "be brief"),
            ChatMessage("user", "first"),
            ChatMessage("assistant", "no"),
            ChatMessage("user", "and  the\nlast "),
        )
    )
    heard = await hear(EchoChat(), asked)

    assert heard.pieces == ["and", "  the", "\nlast", " "]
    assert heard.finished.reason == "stop"
    assert heard.finished.usage == Usage(input_tokens=7, output_tokens=3)


async def test_max_tokens_cuts_the_answer() -> None:
    heard = await hear(EchoChat(), request("one two three", max_tokens=2))

    assert (heard.text, heard.finished.reason) == ("one two", "length")


@pytest.mark.parametrize("messages", [(), (ChatMessage("system", "alone"),), (ChatMessage("user", ""),)])
async def test_nothing_said_is_nothing_echoed(messages: tuple[ChatMessage, ...]) -> None:
    heard = await hear(EchoChat(), ChatRequest(messages=messages))

    assert (heard.pieces, heard.finished.reason) == ([], "stop")


async def test_structured_output_repeats_json_and_refuses_anything_else() -> None:
    assert (await hear(EchoChat(), request('{"a": 1}', json_schema=SCHEMA))).text == '{"a": 1}'

    with pytest.raises(ProcessorError, match="cannot make structured output") as caught:
        await hear(EchoChat(), request("a town", json_schema=SCHEMA))
    assert (caught.value.code, caught.value.retryable) == ("unsupported", False)


@given(st.text())
def test_words_join_to_the_text(text: str) -> None:
    assert "".join(split_words(text)) == text
