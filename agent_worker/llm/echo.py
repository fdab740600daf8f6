"""`echo/echo`: repeats the last user message. No key, no network, the same answer every time.

It proves that a fleet works from the insert to the streamed answer before any model is set up.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator

from agent_worker.domain.chat import ChatChunk, ChatRequest, Finished, FinishReason, TextDelta, Usage
from agent_worker.domain.errors import ProcessorError

ECHO_ID = "echo/echo"

_WORD = re.compile(r"\s*\S+|\s+")


class EchoChat:
    """Answer with the last user message, word by word; a word counts as a token.

    `max_tokens` cuts the answer (finish reason `length`). With a JSON schema the message must be JSON itself, since
    an echo cannot make anything up; whether it fits the schema is for the caller to check, as with any model.
    """

    @property
    def id(self) -> str:
        """`echo/echo`."""
        return ECHO_ID

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Yield the words, then `Finished`.

        Raises:
            ProcessorError: A JSON schema is set and the last user message is no JSON (code `unsupported`).
        """
        said = [message.content for message in request.messages if message.role == "user"]
        text = said[-1] if said else ""
        if request.json_schema is not None:
            _require_json(text)
        words = split_words(text)
        spoken = words[: request.max_tokens]
        for word in spoken:
            yield TextDelta(word)
        asked = sum(len(message.content.split()) for message in request.messages)
        reason: FinishReason = "stop" if len(spoken) == len(words) else "length"
        yield Finished(reason, "echo", Usage(asked, len("".join(spoken).split())))


def split_words(text: str) -> list[str]:
    """Cut `text` into words, each with the white space before it; the pieces join to `text`."""
    return _WORD.findall(text)


def _require_json(text: str) -> None:
    try:
        json.loads(text)
    except ValueError as error:
        raise ProcessorError(
            "The echo model cannot make structured output: it repeats the prompt, and this prompt is no JSON. "
            "Choose another model.",
            code="unsupported",
            retryable=False,
        ) from error
