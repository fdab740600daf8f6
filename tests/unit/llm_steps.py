"""Steps that tests of chat models share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from agent_worker.domain.chat import ChatMessage, ChatModel, ChatRequest, Finished, TextDelta
from agent_worker.domain.json import JsonObject
from agent_worker.llm.langchain import LangChainChat
from agent_worker.llm.openai import OpenAIChat
from agent_worker.llm.openai_access import DEFAULT_TIMEOUTS, OpenAIAccess, Timeouts
from agent_worker.testing.openai_server import ScriptedOpenAI

KEY = SecretStr("sk-secret-of-the-test")
SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["city", "population"],
    "additionalProperties": False,
}


@dataclass
class Heard:
    """What a model said."""

    pieces: list[str]
    finished: Finished

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def request(text: str = "hi", **fields: object) -> ChatRequest:
    return ChatRequest(messages=(ChatMessage("user", text),), **fields)  # type: ignore[arg-type]


async def hear(model: ChatModel, asked: ChatRequest) -> Heard:
    """Read a whole answer; exactly one `Finished` must come, and come last."""
    pieces: list[str] = []
    finished: list[Finished] = []
    async with aclosing(model.stream(asked)) as chunks:
        async for chunk in chunks:
            assert not finished, "nothing follows Finished"
            match chunk:
                case TextDelta(text):
                    pieces.append(text)
                case Finished():
                    finished.append(chunk)
    assert len(finished) == 1
    return Heard(pieces, finished[0])


@asynccontextmanager
async def openai_chat(
    server: ScriptedOpenAI, *, timeouts: Timeouts = DEFAULT_TIMEOUTS, model_id: str = "openai/gpt-test"
) -> AsyncIterator[OpenAIChat]:
    access = OpenAIAccess(api_key=KEY, base_url=server.base_url, timeouts=timeouts)
    try:
        yield OpenAIChat(model_id, access)
    finally:
        await access.close()


@asynccontextmanager
async def langchain_chat(
    server: ScriptedOpenAI, *, timeouts: Timeouts = DEFAULT_TIMEOUTS
) -> AsyncIterator[LangChainChat]:
    access = OpenAIAccess(api_key=KEY, base_url=server.base_url, timeouts=timeouts)
    try:
        yield LangChainChat("langchain-openai/gpt-test", access=access)
    finally:
        await access.close()
