"""A run as people look at it: the steps it has taken as a tree, with what each of them said.

Built from the task's stored events, so a run that is followed and one that is read afterwards look the same. What a new
attempt withdraws vanishes by the rule of `visible_events`; only that there was another attempt stays.

A step is inside another one when its place is; steps around it that are hidden are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar

from agent_worker.domain.errors import POSTPONED
from agent_worker.domain.events import (
    ATTEMPT_FAILED,
    ATTEMPT_START,
    CLIENT_TOOL_REQUEST,
    ERROR,
    FINISH,
    HUMAN_ANSWER,
    HUMAN_REQUEST,
)
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.records import TaskEvent
from agent_worker.pipelines.telling.places import around, position
from agent_worker.pipelines.telling.taken import Called, Remark, Said, Taken

_RESUMED: Mapping[str, str] = MappingProxyType(
    {"rescued": "the worker before died or shut down", "retry": "the one before failed"}
)
_TEXTS = ("text-start", "text-delta", "text-end", "reasoning-start", "reasoning-delta", "reasoning-end")
_TOOLS = ("tool-input-start", "tool-input-available", "tool-output-available", "tool-output-error")


class RunTree:
    """A run so far.

    Attributes:
        slug: Of the definition; empty until the run has begun.
        description: What it says of itself.
        entries: Steps of the outermost worker and remarks between them, in order.
        output: What the worker came to.
        has_result: Whether it came to anything; the run may still fail.
        is_parked: Whether it waits for an answer.
    """

    def __init__(self) -> None:
        self.slug = ""
        self.description: str | None = None
        self.entries: list[Taken | Remark] = []
        self.output: JsonValue = None
        self.has_result = False
        self.is_parked = False
        self._seen: list[TaskEvent] = []
        self._first: dict[str, datetime] = {}
        self._remarks: list[Remark] = []
        self._forget()

    def feed(self, event: TaskEvent) -> None:
        """Add the next event, in order of `seq`."""
        if event.type == ATTEMPT_START:
            self._begin_again(event)
            return
        self._seen.append(event)
        if event.type == ATTEMPT_FAILED:
            self._put_off(event)
            return
        self._add(event)

    def settled(self) -> list[Taken | Remark]:
        """Return the entries that nothing changes any more: all before the last one, or all once there is a result."""
        if self.has_result:
            return self.entries
        return self.entries[:-1]

    def _begin_again(self, start: TaskEvent) -> None:
        """Forget what the new attempt withdraws."""
        keep = start.data.get("keep")
        kept = frozenset(map(str, keep)) if isinstance(keep, list | tuple) else frozenset()
        before = [event for event in self._seen if event.data.get("step") in kept]
        self._seen = []
        self._forget()
        if (why := _RESUMED.get(str(start.data.get("resume")))) is not None:
            text = f"attempt {start.data.get('attempt')} begins: {why}"
            self._remarks.append(Remark(str(start.seq), start.seq, text))
        self.entries = list(self._remarks)
        for event in before:
            self.feed(event)

    def _forget(self) -> None:
        self.entries = []
        self.has_result = False
        self.is_parked = False
        self._steps: dict[str, Taken] = {}
        self._outer: dict[str, Taken | None] = {}
        self._early: dict[str, list[Said | Called]] = {}
        self._texts: dict[str, Said] = {}
        self._calls: dict[str, Called] = {}
        self._workers: dict[str, Taken | None] = {}

    def _put_off(self, event: TaskEvent) -> None:
        """Let what is open wait for the next attempt, which follows by itself."""
        for step in self._steps.values():
            step.is_waiting = step.ended_at is None
        if event.data.get("code") == POSTPONED:  # a step waits, and says so
            return
        remark = Remark(str(event.seq), event.seq, _failure(event.data))
        self._remarks.append(remark)
        self._put(remark, None)

    def _add(self, event: TaskEvent) -> None:
        if (meaning := self._MEANINGS.get(event.type)) is not None:
            meaning(self, event)

    def _fail_step(self, event: TaskEvent) -> None:
        if (step := self._steps.get(str(event.data.get("blockId")))) is not None:
            step.error = str(event.data.get("message"))

    def _retry_step(self, event: TaskEvent) -> None:
        if (step := self._steps.get(str(event.data.get("blockId")))) is not None:
            text = f"failed: {event.data.get('message')} · again in {_seconds(event.data.get('delayS'))}"
            step.parts.append(Remark(f"{step.id}:{event.data.get('attempt')}", event.seq, text))

    def _park(self, event: TaskEvent) -> None:
        for step in self._around(event):
            step.is_waiting = True

    def _answer(self, event: TaskEvent) -> None:
        data, at = event.data, event.created_at
        answer = Called(f"answer:{data.get('key')}", "answered", None, at, ended_at=at)
        answer.output, answer.error = data.get("response"), _text(data.get("error"))
        self._put_inside(event, answer)

    def _finish(self, event: TaskEvent) -> None:
        self.is_parked = event.data.get("finishReason") in {"client-tool-calls", "tool-calls"}

    def _fail(self, _event: TaskEvent) -> None:
        self.has_result = True

    def _start_worker(self, event: TaskEvent) -> None:
        worker_id, slug = str(event.data.get("workerId")), str(event.data.get("workerSlug"))
        owner = self._owner(event)
        if owner is None:
            self.slug = slug
            self.description = _text(event.data.get("description"))
            self._workers[worker_id] = None
        elif owner.kind == "run-worker":
            owner.detail = owner.detail or slug
            self._workers[worker_id] = owner
        elif (known := self._steps.get(worker_id)) is not None:  # the call is made again
            known.ended_at = known.error = None
        else:
            began_at = self._first.setdefault(worker_id, event.created_at)
            detail = _text(event.data.get("description"))
            called = Taken(worker_id, event.seq, slug, "worker", began_at, detail)
            self._workers[worker_id] = self._steps[worker_id] = called
            self._put(called, owner)

    def _end_worker(self, event: TaskEvent) -> None:
        worker = self._workers.get(str(event.data.get("workerId")))
        if worker is None:
            self.output, self.has_result = event.data.get("output"), True
        elif worker.kind == "worker":
            worker.ended_at, worker.error = event.created_at, _text(event.data.get("error"))

    def _start_step(self, event: TaskEvent) -> None:
        data = event.data
        place = str(data.get("blockId"))
        known = self._steps.get(place)
        if known is not None:  # what is around it is tried again
            known.ended_at = known.error = None
            return
        worker_id = str(data.get("workerId"))
        parent = self._parent(place)
        worker = self._workers.get(worker_id)
        if (
            worker is not None
            and worker.kind == "worker"
            and (parent is None or parent.worker_id != worker_id)
        ):
            parent = worker
        rounds, branch = position(place, None if parent is None else parent.id)
        step = self._steps[place] = Taken(
            place,
            event.seq,
            str(data.get("blockName")),
            str(data.get("blockType")),
            self._first.setdefault(place, event.created_at),
            detail=_text(data.get("description")),
            worker_id=worker_id,
            rounds=rounds,
            branch=branch,
        )
        step.parts.extend(self._early.pop(place, ()))
        self._put(step, parent)

    def _end_step(self, event: TaskEvent) -> None:
        step = self._steps.get(str(event.data.get("blockId")))
        if step is None:
            return
        step.ended_at, step.is_waiting = event.created_at, False
        step.error = _text(event.data.get("error")) or step.error
        usage = event.data.get("usage")
        tokens = usage.get("totalTokens") if isinstance(usage, Mapping) else None
        step.tokens = tokens if isinstance(tokens, int) else None

    def _hear(self, event: TaskEvent) -> None:
        kind, _, what = event.type.partition("-")
        text_id = f"{kind}:{event.data.get('id')}"
        said = self._texts.get(text_id)
        if said is None:
            said = self._texts[text_id] = Said(
                text_id, kind == "reasoning", _text(event.data.get("responseType"))
            )
            self._put_inside(event, said)
        if what == "delta":
            said.text += str(event.data.get("delta", ""))
        said.is_open = what != "end"

    def _call(self, event: TaskEvent) -> None:
        data = event.data
        call_id = str(data.get("toolCallId"))
        call = self._calls.get(call_id)
        if call is None:
            name = str(data.get("toolName", "tool"))
            call = self._calls[call_id] = Called(
                call_id, name, _text(data.get("title")), self._first.setdefault(call_id, event.created_at)
            )
            self._put_inside(event, call)
        match event.type:
            case "tool-input-available":
                call.input = data.get("input")
            case "tool-output-available":
                call.output, call.ended_at = data.get("output"), event.created_at
            case "tool-output-error":
                call.error, call.ended_at = str(data.get("error")), event.created_at

    def _put_inside(self, event: TaskEvent, part: Said | Called) -> None:
        place = _place(event)
        if (step := self._steps.get(place)) is not None:
            step.parts.append(part)
        else:  # kept from an attempt whose step begins again
            self._early.setdefault(place, []).append(part)

    def _put(self, entry: Taken | Remark, parent: Taken | None) -> None:
        if isinstance(entry, Taken):
            self._outer[entry.id] = parent
        if parent is not None:
            parent.parts.append(entry)
            return
        self.entries.append(entry)
        self.entries.sort(key=lambda each: each.seq)

    def _owner(self, event: TaskEvent) -> Taken | None:
        """Return the innermost shown step in which something was said."""
        return next(self._around(event), None)

    def _around(self, event: TaskEvent) -> Iterator[Taken]:
        """Yield the shown steps around what was said, from the inside."""
        place = _place(event)
        step = self._steps.get(place) or self._parent(place)
        while step is not None:
            yield step
            step = self._outer.get(step.id)

    def _parent(self, place: str) -> Taken | None:
        """Return the innermost shown step that a place is inside of."""
        return next((self._steps[outer] for outer in around(place) if outer in self._steps), None)

    _MEANINGS: ClassVar[Mapping[str, Callable[[RunTree, TaskEvent], None]]] = MappingProxyType(
        {
            "worker-start": _start_worker,
            "worker-result": _end_worker,
            "block-start": _start_step,
            "block-end": _end_step,
            "step-retry": _retry_step,
            "step-failed": _fail_step,
            HUMAN_REQUEST: _park,
            CLIENT_TOOL_REQUEST: _park,
            HUMAN_ANSWER: _answer,
            FINISH: _finish,
            ERROR: _fail,
            **dict.fromkeys(_TEXTS, _hear),
            **dict.fromkeys(_TOOLS, _call),
        }
    )


def _place(event: TaskEvent) -> str:
    """Return the place of the step in which something was said."""
    return str(event.data.get("step", "")).partition(":")[2]


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and value else None


def _failure(data: JsonObject) -> str:
    return f"attempt {data.get('attempt')} failed: {data.get('error')} · again in {_seconds(data.get('retryInS'))}"


def _seconds(value: JsonValue) -> str:
    return f"{value:.1f} s" if isinstance(value, int | float) else "a moment"
