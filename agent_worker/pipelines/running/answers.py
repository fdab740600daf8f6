"""One answer of a model: asked, streamed, counted, with a backup when the provider has a passing fault."""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Literal, Self

from agent_worker.domain.chat import (
    ChatModel,
    ChatRequest,
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCall,
)
from agent_worker.domain.errors import ProcessorError, UpstreamError
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.definition.blocks import NextMessage
from agent_worker.pipelines.running.execution import Step
from agent_worker.pipelines.running.stream import Text, Voice


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said in one round.

    Attributes:
        text: All of it.
        calls: Tools that it wants.
        reason: Why it stopped.
        model: `provider/model` that answered.
    """

    text: str
    calls: tuple[ToolCall, ...]
    reason: str
    model: str

    def as_json(self) -> JsonObject:
        """Return `{text, calls: [{id, name, arguments}], reason, model}`."""
        calls: list[JsonValue] = [
            {"id": call.id, "name": call.name, "arguments": call.arguments} for call in self.calls
        ]
        return {"text": self.text, "calls": calls, "reason": self.reason, "model": self.model}

    @classmethod
    def read(cls, stored: JsonObject) -> Answer:
        """Return what `as_json` wrote."""
        calls = stored["calls"]
        return cls(
            str(stored["text"]),
            tuple(
                ToolCall(str(call["id"]), str(call["name"]), str(call["arguments"]))
                for call in (calls if isinstance(calls, list | tuple) else ())
                if isinstance(call, dict)
            ),
            str(stored["reason"]),
            str(stored["model"]),
        )


async def ask(
    step: Step, request: ChatRequest, setup: JsonObject, *, part: str, block: NextMessage
) -> Answer:
    """Ask the thread's model, or once its backup when the provider fails in passing before it has said anything.

    Args:
        step: Who asks; what is said goes there, and what is used.
        request: The question.
        setup: The thread's.
        part: Names the round within the step.
        block: For how the answer is shown.

    Raises:
        LimitExceeded: The run may ask no more.
        UpstreamError: As the model raised it, also when the backup failed as well.
    """
    step.execution.budget.check(str(setup["model"]))
    ctx = step.execution.ctx
    first = _Round(step, part, block.response_type)
    try:
        return await first.run(ctx.model(str(setup["model"])), request)
    except UpstreamError as error:
        backup = setup.get("backup")
        if backup is None or not error.retryable or first.has_spoken:
            raise
        try:
            step.execution.budget.check(str(backup))
            return await _Round(step, part, block.response_type).run(ctx.model(str(backup)), request)
        except ProcessorError:
            raise error from None


class _Round:
    """Listens to one answer."""

    def __init__(self, step: Step, part: str, response_type: str | None) -> None:
        self._step = step
        self._part = part
        self._response_type = response_type
        self._pieces: list[str] = []
        self._calls: list[ToolCall] = []
        self.has_spoken = False

    async def run(self, model: ChatModel, request: ChatRequest) -> Answer:
        """Stream the answer to the client as it comes.

        Raises:
            UpstreamError: The model's provider refused, broke, or stopped without an end.
        """
        async with (
            aclosing(model.stream(request)) as chunks,
            _Speech(self._step.voice, self._part, self._response_type) as speech,
        ):
            async for chunk in chunks:
                self.has_spoken = True
                match chunk:
                    case TextDelta(text):
                        self._pieces.append(text)
                        await speech.say("text", text)
                    case ReasoningDelta(text):
                        await speech.say("reasoning", text)
                    case ToolCall():
                        self._calls.append(chunk)
                    case Finished():
                        self._step.execution.budget.spend(model.id, chunk.usage)
                        return Answer("".join(self._pieces), tuple(self._calls), chunk.reason, model.id)
        raise UpstreamError("The model stopped without an end.", provider=model.id.partition("/")[0])


class _Speech:
    """Text and reasoning in turn: at most one run is open, and it is closed whatever happens."""

    def __init__(self, voice: Voice, part: str, response_type: str | None) -> None:
        self._voice = voice
        self._part = part
        self._response_type = response_type
        self._stack = AsyncExitStack()
        self._kind: Literal["text", "reasoning"] | None = None
        self._text: Text | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def say(self, kind: Literal["text", "reasoning"], delta: str) -> None:
        """Add a piece."""
        if self._text is None or kind != self._kind:
            await self._stack.aclose()
            response_type = self._response_type if kind == "text" else None
            self._kind = kind
            self._text = await self._stack.enter_async_context(
                self._voice.text(kind, self._part, response_type=response_type)
            )
        await self._text.add(delta)
