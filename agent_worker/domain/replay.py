"""Waiting by replay: a task that asks a question ends its attempt and runs again from the top when answered.

`process` may be started many times for one task. What must happen once stands in `ctx.step(key, fn)`; what was
asked before is found by its key and returns its answer. Keys are stable within a task, and one key always means
the same kind of call: `KeyReused` tells a programmer who used one twice.

The idea is that of durable execution engines (DBOS, Temporal's history replay), cut down to keyed results.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from uuid import UUID, uuid5

from agent_worker.domain.errors import ProcessorError, Unstorable
from agent_worker.domain.json import JsonObject, JsonValue, dump_json


class Call(enum.StrEnum):
    """Kinds of remembered calls; a key belongs to one of them for the life of its task."""

    VALUE = "value"
    STEP = "step"
    SPAWN = "spawn"
    CHILD = "child"
    HUMAN = "human"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One remembered call of a task.

    Attributes:
        is_done: False for a question whose answer has not come.
        text: The value as JSON, where it is known; for who stores it.
    """

    key: str
    call: Call
    value: JsonValue
    is_done: bool = True
    text: str | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a parked task waits for.

    Attributes:
        key: Stable name within the task.
        call: HUMAN or CLIENT (a row in `human_tasks` asks), or CHILD (another task has to end).
        child_id: The task awaited; CHILD only.
        fields: Columns of the `human_tasks` row: type, title, description, form, context, priority, assignee.
        timeout_s: Seconds until the question expires; None waits for ever.
    """

    key: str
    call: Call
    child_id: UUID | None = None
    fields: JsonObject = field(default_factory=dict)
    timeout_s: float | None = None


class Parked(BaseException):
    """Ends an attempt whose task now waits for an answer.

    A BaseException, as asyncio.CancelledError is, so that a processor's `except Exception` lets it through.
    """

    def __init__(self, question: Question) -> None:
        super().__init__(question.key)
        self.question = question


class KeyReused(ProcessorError):
    """A key was used for two different kinds of call. The processor has to be changed; trying again cannot help."""

    def __init__(self, key: str, *, first: Call, now: Call) -> None:
        super().__init__(
            f"The key {key!r} was used for a {first} call before and now for a {now} call. "
            "Give each call of a task its own key.",
            code="key_reused",
            retryable=False,
        )


def recall(known: dict[str, Checkpoint], key: str, call: Call) -> Checkpoint | None:
    """Find what a call returned in an earlier run of this task.

    Raises:
        KeyReused: The key belongs to another kind of call.
    """
    checkpoint = known.get(key)
    if checkpoint is not None and checkpoint.call is not call:
        raise KeyReused(key, first=checkpoint.call, now=call)
    return checkpoint


def as_stored(key: str, value: JsonValue) -> JsonValue:
    """Return what is put under `key` as every later attempt will read it: having gone through JSON.

    Raises:
        Unstorable: The value has no JSON form.
    """
    stored: JsonValue = json.loads(stored_text(key, value))
    return stored


def stored_text(key: str, value: JsonValue) -> str:
    """Return what is put under `key` as JSON.

    Raises:
        Unstorable: The value has no JSON form.
    """
    try:
        return dump_json(value)
    except (ValueError, TypeError, RecursionError) as exc:
        raise Unstorable(f"the result of {key!r} ({exc})") from exc


def child_id(parent_id: UUID, key: str) -> UUID:
    """Name a child so that a replay finds it instead of spawning a second one."""
    return uuid5(parent_id, f"child:{key}")


def idempotency_key(task_id: UUID, key: str) -> str:
    """Name a step's side effect for the outside world: the same for every run of the step."""
    return f"{task_id}:{key}"
