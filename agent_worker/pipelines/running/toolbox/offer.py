"""A tool that a thread may call, the call, and what it comes to; the same for tools of every source."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from agent_worker.domain.chat import ToolSpec
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.definition.declarations import Display
from agent_worker.pipelines.running.usage import Used


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool.

    Attributes:
        id: Unique within the task; clients answer with it.
        name: The worker's name of the tool.
        arguments: Checked only when the call is made.
    """

    id: str
    name: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to: a result, or why there is none."""

    result: JsonValue = None
    error: str | None = None
    is_retryable: bool = True
    used: Used = field(default_factory=Used)
    """By models that it asked."""

    def as_json(self) -> JsonObject:
        """Return `{result, used?}` or `{error, retryable, used?}`."""
        used = {"used": self.used.as_json()} if self.used != Used() else {}
        if self.error is not None:
            return {"error": self.error, "retryable": self.is_retryable, **used}
        return {"result": self.result, **used}

    @classmethod
    def read(cls, stored: JsonObject) -> Outcome:
        """Return what `as_json` wrote."""
        error, used = stored.get("error"), Used.read(stored.get("used"))
        if error is not None:
            return cls(error=str(error), is_retryable=stored.get("retryable") is not False, used=used)
        return cls(stored.get("result"), used=used)

    @property
    def text(self) -> str:
        """What a model reads of it."""
        if self.error is not None:
            return json.dumps({"error": self.error}, ensure_ascii=False)
        return self.result if isinstance(self.result, str) else json.dumps(self.result, ensure_ascii=False)


Run: TypeAlias = Callable[[Call, str], Awaitable[Outcome]]
"""Makes a call here. The text names it within its step, for checkpoints and for the idempotency key.

A failure of the tool is an outcome. It runs inside the call's own checkpoint, beside the other calls of its round."""


Announce: TypeAlias = Callable[[Call, str], Awaitable[None]]
"""Says that a model has made a call. The text is what the model wrote as its arguments."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool that a thread's model, or a step, may call.

    Attributes:
        spec: What a model reads. Every call is checked against its parameters first.
        run: Makes a call here; None has the client make it.
        display: What the stream shows of its calls.
        title: For the display `title`.
        display_of: What is shown of a single call, where that depends on its arguments.
        announce: Says it in another way than the events of tools do; calls that do not fit are not announced so.
    """

    spec: ToolSpec
    run: Run | None
    display: Display = "description"
    title: str | None = None
    display_of: Callable[[Call], tuple[Display, str | None]] | None = None
    announce: Announce | None = None
