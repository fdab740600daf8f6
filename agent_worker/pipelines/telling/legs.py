"""The worker protocol's stream, made from a task's stored events.

Live and from the store it is the same, for this is the only translation. A leg is what a client hears of one request:
the first one, and one more for each answer to a question. It begins with `start` and ends with one `finish` or `error`;
attempts that follow each other without a question belong to one leg.

- What only the engine and this product's own pages read is left out: `attempt-start`, `attempt-failed`, `step-retry`,
  `step-failed`, types that the protocol does not know, the field `step`, and what a `block-end` says of use and failure.
- An attempt that was cut short leaves parts open. They are closed before the next one speaks, except those of steps
  that have finished, which go on where they were.
- A question that ends a leg lets blocks stay open that go on after the answer; those that begin anew are closed.
- A run that the engine ends, with an `error` or without a word, gets what is missing: the ends of what is open, a
  `worker-result` for each worker that has none, and `error`.
- A question to a person is a call of the tool `agent_worker_human_approval`; its answer is the tool's output.
- Two audiences: a server is asked to run tools with `tool-request` and `finish{tool-calls}`, a browser with
  `client-tool-request` and `finish{client-tool-calls}`. Each understands only its own.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agent_worker.domain import events as ev
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.records import TaskEvent
from agent_worker.domain.task import TaskStatus
from agent_worker.pipelines.names import RUN_START, block_step

Audience: TypeAlias = Literal["server", "browser"]

APPROVAL_TOOL = "agent_worker_human_approval"
"""Stands for a person where tools are called."""

_PASSED = frozenset(
    {
        "start",
        *(f"{kind}-{part}" for kind in ("text", "reasoning") for part in ("start", "delta", "end")),
        *(f"tool-input-{part}" for part in ("start", "delta", "end", "available")),
        *("tool-output-available", "tool-output-error"),
        *("source", "file-available", "todo-update", "resource-update"),
        *("block-start", "block-end"),
        *("worker-start", "worker-result", "worker-input-start", "worker-input-delta", "worker-input-ready"),
    }
)
_OWN_FIELDS = {"block-end": frozenset({"step", "error", "usage"})}
"""What this product's pages read beside the protocol's fields; `step` of every event."""
_STEP = frozenset({"step"})
_MAY_BE_NULL = frozenset({"output", "result", "value"})
_ENDS = {
    "text-start": ("text-end", "id"),
    "reasoning-start": ("reasoning-end", "id"),
    "tool-input-start": ("tool-input-end", "toolCallId"),
    "block-start": ("block-end", "blockId"),
    "worker-start": ("worker-result", "workerId"),
}
_STARTS = {end: (start, key) for start, (end, key) in _ENDS.items()}


class _Ending(enum.Enum):
    """How far the present leg is from its end."""

    SPEAKING = enum.auto()
    FINISHED = enum.auto()  # `usage` may follow
    ASKED = enum.auto()
    OVER = enum.auto()


@dataclass(frozen=True, slots=True)
class _Part:
    """Something that has begun: its kind and id, whose it is, and the step that said so."""

    kind: str
    id: str
    worker_id: JsonValue
    step: JsonValue

    def end(self, error: str | None = None) -> JsonObject:
        """Return the event that closes it; `error` is what became of a worker."""
        kind, key = _ENDS[self.kind]
        if self.kind == "worker-start":
            return {"type": kind, key: self.id, "error": error or "The worker has stopped."}
        named = {} if self.worker_id is None else {"workerId": self.worker_id}
        return {"type": kind, key: self.id, **named}


class Legs:
    """One reader of one run. Feed it every event from the first on, and give out what belongs to your leg.

    A reader that begins later, at the `attempt-start` of a leg, hears the same; only, should the engine end the run, it
    cannot close what earlier legs left open. What one event becomes belongs together: a cursor moves past all of it.

    ```python
    legs = Legs(str(task_id), "server")
    for event in events:
        for each in legs.feed(event):
            print(each)  # {"type": "text-delta", "id": …, "delta": …}
        if legs.is_over:
            break
    ```

    Args:
        execution_id: The task's id.
        audience: Who runs the tools that the worker has not.
    """

    def __init__(self, execution_id: str, audience: Audience) -> None:
        self._execution_id = execution_id
        self._audience = audience
        self._ending = _Ending.SPEAKING
        self._has_started = False
        self._open: dict[tuple[str, str], _Part] = {}
        self._ended: dict[
            tuple[str, str], JsonValue
        ] = {}  # in this leg: the step that said so, which may do it again

    @property
    def is_over(self) -> bool:
        """Whether the leg has ended; false again once the next one has begun.

        After `finish` with `stop` it is not known before `usage` has come, or `end` was called.
        """
        return self._ending in {_Ending.ASKED, _Ending.OVER}

    def feed(self, event: TaskEvent) -> list[JsonObject]:
        """Return what an event is in the protocol: usually one event, often none, sometimes several."""
        if event.type == ev.ATTEMPT_START:
            return list(self._begin_attempt(_strings(event.data.get("keep"))))
        if self._ending is not _Ending.SPEAKING:
            return self._after_the_end(event)
        told = list(self._tell(event))
        return self._begun(told)

    def end(self, status: TaskStatus, response: JsonObject) -> list[JsonObject]:
        """Return what is missing of a run that has ended, once all its events have been fed.

        Args:
            status: The task's, a final one.
            response: Its response; of a failure `{error, code, retryable}`.
        """
        before, self._ending = self._ending, _Ending.OVER
        if before in {_Ending.OVER, _Ending.FINISHED}:
            return []
        if before is _Ending.ASKED:  # it ended instead of going on: a leg of its own says so
            self._has_started = False
        if status is TaskStatus.COMPLETED:
            finish: JsonObject = {"finishReason": "stop", "executionId": self._execution_id}
            return self._begun([*self._close_all(), {"type": ev.FINISH, **finish}])
        error = ev.error(
            code=str(response.get("code", status)),
            message=str(response.get("error", f"The task ended as {status}.")),
            retryable=response.get("retryable") is True,
        )
        return self._begun(list(self._fail(error.data)))

    def _begin_attempt(self, keep: frozenset[str]) -> Iterator[JsonObject]:
        is_cut = self._ending is _Ending.SPEAKING
        self._ending = _Ending.SPEAKING
        if not is_cut:
            self._has_started = False
            self._ended.clear()
        self._ended = {place: step for place, step in self._ended.items() if step not in keep}
        if RUN_START in keep and ("worker-start", self._execution_id) not in self._ended:
            self._note("worker-start", {"workerId": self._execution_id, "step": RUN_START})
        for part in reversed([part for part in self._open.values() if part.step not in keep]):
            if part.kind == "worker-start":
                continue  # it begins again under the same id
            del self._open[part.kind, part.id]
            if is_cut:
                yield part.end()

    def _after_the_end(self, event: TaskEvent) -> list[JsonObject]:
        if self._ending is _Ending.FINISHED and event.type == "usage":
            self._ending = _Ending.OVER
            return [_plain(event.type, event.data)]
        return []

    def _begun(self, told: list[JsonObject]) -> list[JsonObject]:
        """Put `start` before the first thing of a leg that has none, such as an error before the run could begin."""
        if not told or self._has_started:
            return told
        self._has_started = True
        if told[0]["type"] == ev.START:
            return told
        return [{"type": ev.START, "executionId": self._execution_id}, *told]

    def _tell(self, event: TaskEvent) -> Iterator[JsonObject]:
        match event.type:
            case ev.HUMAN_REQUEST:
                yield from self._ask_person(event.data)
            case ev.HUMAN_ANSWER:
                yield _answered(event.data)
            case ev.CLIENT_TOOL_REQUEST:
                yield self._ask(event.data.get("toolCalls"))
            case ev.FINISH:
                yield from self._finish(event.data)
            case ev.ERROR:
                self._ending = _Ending.OVER
                yield from self._fail(event.data)
            case kind if kind in _PASSED and not self._is_repeated(kind, event.data):
                self._note(kind, event.data)
                yield _plain(kind, event.data)

    def _is_repeated(self, kind: str, data: JsonObject) -> bool:
        """Tell whether something ends again without having begun again, since it was cut short right after its end."""
        if kind not in _STARTS:
            return False
        start, key = _STARTS[kind]
        return (start, str(data.get(key))) in self._ended

    def _note(self, kind: str, data: JsonObject) -> None:
        """Keep in mind what is open."""
        if kind in _ENDS:
            part = _Part(kind, str(data.get(_ENDS[kind][1])), data.get("workerId"), data.get("step"))
            self._open[part.kind, part.id] = part
            self._ended.pop((part.kind, part.id), None)
        elif kind in _STARTS:
            start, key = _STARTS[kind]
            place = start, str(data.get(key))
            self._open.pop(place, None)
            self._ended[place] = data.get("step")

    def _ask_person(self, data: JsonObject) -> Iterator[JsonObject]:
        named = {"toolCallId": str(data.get("key")), "toolName": APPROVAL_TOOL}
        args = {name: data[name] for name in ("title", "description", "form") if data.get(name)}
        yield {"type": "tool-input-start", **named}
        yield {"type": "tool-input-end", "toolCallId": named["toolCallId"]}
        yield {"type": "tool-input-available", **named, "input": args}
        yield self._ask([{**named, "args": args}])

    def _ask(self, calls: JsonValue) -> JsonObject:
        if self._audience == "server":
            return {"type": "tool-request", "toolCalls": calls}
        return {"type": ev.CLIENT_TOOL_REQUEST, "executionId": self._execution_id, "toolCalls": calls}

    def _finish(self, data: JsonObject) -> Iterator[JsonObject]:
        reason = data.get("finishReason")
        if reason != "client-tool-calls":
            self._ending = _Ending.FINISHED
            yield from self._close_all()
            yield _plain(ev.FINISH, data)
            return
        self._ending = _Ending.ASKED
        again = [part for part in self._open.values() if part.step == block_step(part.id)]
        for part in reversed(again):
            del self._open[part.kind, part.id]
            yield part.end()
        yield {
            **_plain(ev.FINISH, data),
            "finishReason": "tool-calls" if self._audience == "server" else reason,
        }

    def _fail(self, data: JsonObject) -> Iterator[JsonObject]:
        yield from self._close_all(str(data.get("message")))
        yield _plain(ev.ERROR, data)

    def _close_all(self, error: str | None = None) -> Iterator[JsonObject]:
        """Close what is open, the innermost first."""
        parts, self._open = list(self._open.values()), {}
        for part in reversed(parts):
            yield part.end(error)


def _answered(data: JsonObject) -> JsonObject:
    call_id = str(data.get("key"))
    if "error" in data:
        return {"type": "tool-output-error", "toolCallId": call_id, "error": str(data["error"])}
    return {"type": "tool-output-available", "toolCallId": call_id, "output": data.get("response")}


def _plain(kind: str, data: JsonObject) -> JsonObject:
    """Return an event as the protocol has it: no fields of our own, and no null where one is optional."""
    own = _OWN_FIELDS.get(kind, _STEP)
    fields = {
        name: value
        for name, value in data.items()
        if name not in own and (value is not None or name in _MAY_BE_NULL)
    }
    return {"type": kind, **fields}


def _strings(value: JsonValue) -> frozenset[str]:
    if not isinstance(value, Sequence) or isinstance(value, str | Mapping):
        return frozenset()
    return frozenset(each for each in value if isinstance(each, str))
