"""What a run says: the worker protocol's events, in its order.

- A leg is what one attempt says. Each begins with `start`; the first also with `worker-start`. It ends with `finish`, or
  with what the engine says of a failure (`error`, `attempt-failed`). `usage` follows the `finish` of a run that has ended
  well. The last events are said without a pause before the run returns, so that they are written with the outcome or
  not at all: no reader sees the end of a run twice.
- `block-start` and `block-end`, and the starts and ends of text, reasoning and tool inputs come in pairs, also when a
  block fails. A block that waits for an answer stays open over the end of its leg.
- Optional fields are left out, never null.
- Display modes: `hidden` says nothing at all; `name`, `description` and `title` show that a block runs and, of a tool,
  what it is called; only `stream` shows text and reasoning. For tools, `title` hides arguments and results.
- `block-end` has two more fields of ours: `usage {inputTokens, outputTokens, totalTokens}` of a block that called models,
  and `error`, the message of one that failed.
- `step-retry {blockId, attempt, errorType, message, delayS}` and `step-failed {blockId, errorType, message, code}` are
  ours; clients of the protocol pass over types that they do not know.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.events import Event, error_type
from agent_worker.domain.events import finish as finish_event
from agent_worker.domain.events import usage as usage_event
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.processor import TaskContext
from agent_worker.pipelines.definition.blocks import (
    AddMessage,
    Block,
    NextMessage,
    SerializeThread,
    StartThread,
)
from agent_worker.pipelines.running.usage import Used

STOPPED = "It was stopped."
"""The error of a block that was cut short by a cancellation or a limit of time around it."""

_TEXT_INTERVAL_S = 0.05
_TEXT_SIZE = 1024


@dataclass(frozen=True, slots=True)
class Stream:
    """The events of one worker.

    Attributes:
        ctx: Where they go.
        worker_id: The worker's; of the outermost one it is the execution's as well.
        is_silent: Says nothing of what happens inside, for workers that are not shown as a stream.
    """

    ctx: TaskContext
    worker_id: str
    is_silent: bool = False

    async def say(self, kind: str, fields: JsonObject) -> None:
        """Say something that happens inside the worker; fields that are None are left out."""
        if not self.is_silent:
            await self._emit(kind, {**fields, "workerId": self.worker_id})

    async def start_leg(self) -> None:
        """Open the leg."""
        await self._emit("start", {"messageId": f"message-{self.worker_id}", "executionId": self.worker_id})

    async def start_worker(
        self, slug: str, *, description: str | None = None, inputs: JsonObject | None = None
    ) -> None:
        """Say that the worker begins; `inputs` only where its display is `stream`."""
        fields: JsonObject = {
            "workerId": self.worker_id,
            "workerSlug": slug,
            "description": description,
            "input": inputs,
        }
        await self._emit("worker-start", fields)

    async def end_worker(self, *, output: JsonValue = None, error: str | None = None) -> None:
        """Say what the worker came to."""
        await self._emit("worker-result", {"workerId": self.worker_id, "output": output, "error": error})

    async def end_leg(self, reason: Literal["stop", "client-tool-calls"]) -> None:
        """Close the leg."""
        await self.ctx.emit(finish_event(reason, self.worker_id))

    async def tell_usage(self, used: Used) -> None:
        """Say what the run used; after the leg that ends it."""
        await self.ctx.emit(
            usage_event(input_tokens=used.input_tokens, output_tokens=used.output_tokens, cost_usd=used.cost)
        )

    async def _emit(self, kind: str, fields: JsonObject) -> None:
        await self.ctx.emit(Event(kind, {name: value for name, value in fields.items() if value is not None}))


class Voice:
    """What one execution of a block says.

    Args:
        stream: The worker's.
        block: The block.
        place: Names the execution; it is the `blockId`.
    """

    def __init__(self, stream: Stream, block: Block, place: str) -> None:
        self._stream = stream
        self._block = block
        self._place = place

    @property
    def is_hidden(self) -> bool:
        """Whether nobody hears of the block."""
        return self._block.display == "hidden" or self._stream.is_silent

    async def start(self) -> None:
        """Say that the block begins."""
        block = self._block
        thread = (
            block.thread
            if isinstance(block, StartThread | AddMessage | NextMessage | SerializeThread)
            else None
        )
        is_apart = isinstance(block, NextMessage) and block.independent
        await self.say(
            "block-start",
            {
                "blockId": self._place,
                "blockName": block.name,
                "blockType": block.kind,
                "display": block.display,
                "description": block.title if block.display == "title" else block.description,
                "outputToChat": False if is_apart else None,
                "thread": thread,
            },
        )

    async def end(self, *, used: Used | None = None, error: BaseException | None = None) -> None:
        """Say that it has ended.

        Args:
            used: By models, in all of its tries and whatever is inside it.
            error: Why it failed; anything but a processor's error means that the attempt was stopped.
        """
        fields: dict[str, JsonValue] = {"blockId": self._place}
        if used is not None and used.calls:
            fields["usage"] = {
                "inputTokens": used.input_tokens,
                "outputTokens": used.output_tokens,
                "totalTokens": used.tokens,
            }
        if error is not None:
            fields["error"] = str(error) if isinstance(error, ProcessorError) else STOPPED
        await self.say("block-end", fields)

    async def say(self, kind: str, fields: JsonObject) -> None:
        """Say anything else, unless the block is hidden."""
        if not self.is_hidden:
            await self._stream.say(kind, fields)

    async def retrying(self, error: ProcessorError, *, attempt: int, delay_s: float) -> None:
        """Say that the block failed and is tried again."""
        fields: JsonObject = {"attempt": attempt, "delayS": round(delay_s, 3)}
        await self.say("step-retry", {**self._failure(error), **fields})

    async def failed(self, error: ProcessorError) -> None:
        """Say that the block failed for good."""
        await self.say("step-failed", self._failure(error))

    def _failure(self, error: ProcessorError) -> JsonObject:
        return {
            "blockId": self._place,
            "errorType": error_type(error.code),
            "message": str(error),
            "code": error.code,
        }

    @contextlib.asynccontextmanager
    async def text(
        self, kind: Literal["text", "reasoning"], part: str, *, response_type: str | None = None
    ) -> AsyncIterator[Text]:
        """Open a run of text or reasoning and close it whatever happens.

        Args:
            kind: Which of the two.
            part: Names the part of the block that speaks: what one checkpoint holds.
            response_type: The declared type, when the text is JSON.
        """
        # A block that runs again in the same leg speaks anew, hence no name that it had before.
        text_id = f"{self._place}:{part}:{uuid4().hex[:12]}"
        shown = self if self._block.display == "stream" else None
        if shown is not None:
            await shown.say(f"{kind}-start", {"id": text_id, "responseType": response_type})
        text = Text(shown, kind, text_id)
        try:
            yield text
        finally:
            await text.flush()
            if shown is not None:
                await shown.say(f"{kind}-end", {"id": text_id})


class Text:
    """A run of text; pieces within 50 ms of each other become one event, up to a KiB."""

    def __init__(self, voice: Voice | None, kind: str, text_id: str) -> None:
        self._voice = voice
        self._kind = kind
        self._id = text_id
        self._held: list[str] = []
        self._size = 0
        self._said_at = 0.0

    async def add(self, delta: str) -> None:
        """Add a piece; it is said at once unless something was said just before."""
        self._held.append(delta)
        self._size += len(delta)
        if time.monotonic() - self._said_at >= _TEXT_INTERVAL_S or self._size >= _TEXT_SIZE:
            await self.flush()

    async def flush(self) -> None:
        """Say what is held."""
        if not self._held or self._voice is None:
            return
        delta, self._held, self._size = "".join(self._held), [], 0
        self._said_at = time.monotonic()
        await self._voice.say(f"{self._kind}-delta", {"id": self._id, "delta": delta})
