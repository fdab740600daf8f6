"""A run as people look at it: the steps it has taken as a tree, with what each of them said.

Built from the task's stored events, so a run that is followed and one that is read afterwards look the same. What a new
attempt withdraws vanishes by the rule of `visible_events`; only that there was another attempt stays.

A step is inside another one when its place is (see `Scope.place`): `steps.Each text.steps.Translate@3` is the fourth
round of what `steps.Each text` repeats. Steps around it that are hidden are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar, Literal, TypeAlias

from agent_worker.domain.events import ATTEMPT_FAILED, ATTEMPT_START, ERROR, FINISH
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.records import TaskEvent
from agent_worker.pipelines.stream import STOPPED

StepState: TypeAlias = Literal["processing", "waiting", "completed", "failed", "cancelled"]

_ROUNDS = re.compile(r"@(\d+(?:\.\d+)*)$")
_RESUMED: Mapping[str, str] = MappingProxyType(
    {"rescued": "the worker before died or shut down", "retry": "the one before failed"}
)
_TEXTS = ("text-start", "text-delta", "text-end", "reasoning-start", "reasoning-delta", "reasoning-end")
_TOOLS = ("tool-input-start", "tool-input-available", "tool-output-available", "tool-output-error")


@dataclass(slots=True)
class Said:
    """A run of text or of reasoning; `type` names the declared type where the text is JSON."""

    id: str
    is_reasoning: bool
    type: str | None
    text: str = ""
    is_open: bool = True


@dataclass(slots=True)
class Called:
    """A call of a tool; without output and error it still runs, or its result is not shown."""

    id: str
    name: str
    title: str | None
    began_at: datetime
    input: JsonValue = None
    output: JsonValue = None
    error: str | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """What the run says of itself, between steps or inside one; said again by another attempt, it has the same id."""

    id: str
    seq: int
    text: str


@dataclass(slots=True)
class Taken:
    """A step that was taken, or is.

    Attributes:
        id: Its place.
        seq: Of the event that began it.
        name: As in the document; of a worker its slug.
        kind: Its block; `worker` for a worker that a model called.
        detail: What its author says of it; of a `run-worker` without that, the worker's slug.
        worker_id: Of the worker whose step it is.
        rounds: Positions in the loops between the step around it and itself, from 0.
        branch: The branch of a `parallel` it belongs to.
        began_at: When it began for the first time, over all attempts.
        tokens: In and out, with all that is inside it.
        is_waiting: For an answer.
    """

    id: str
    seq: int
    name: str
    kind: str
    began_at: datetime
    detail: str | None = None
    worker_id: str = ""
    rounds: tuple[int, ...] = ()
    branch: str | None = None
    ended_at: datetime | None = None
    error: str | None = None
    tokens: int | None = None
    is_waiting: bool = False
    parts: list[Part] = field(default_factory=list)

    @property
    def state(self) -> StepState:
        """How it stands."""
        if self.error is not None:
            return "cancelled" if self.error == STOPPED else "failed"
        if self.ended_at is not None:
            return "completed"
        return "waiting" if self.is_waiting else "processing"

    @property
    def steps(self) -> list[Taken]:
        """Steps inside it, in the order of branches and rounds, then in time."""
        inside = [part for part in self.parts if isinstance(part, Taken)]
        branches = {name: number for number, name in enumerate(dict.fromkeys(each.branch for each in inside))}
        return sorted(inside, key=lambda each: (branches[each.branch], each.rounds, each.seq))


Part: TypeAlias = Said | Called | Remark | Taken


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
            self._remark(event, _failure(event.data))
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
        self._texts: dict[str, Said] = {}
        self._calls: dict[str, Called] = {}
        self._workers: dict[str, Taken | None] = {}

    def _remark(self, event: TaskEvent, text: str) -> None:
        remark = Remark(str(event.seq), event.seq, text)
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
        else:
            began_at = self._first.setdefault(worker_id, event.created_at)
            detail = _text(event.data.get("description"))
            called = Taken(worker_id, event.seq, slug, "worker", began_at, detail)
            self._workers[worker_id] = self._steps[worker_id] = called
            owner.parts.append(called)

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
        rounds, branch = _position(place, parent)
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
        if (owner := self._owner(event)) is not None:
            owner.parts.append(part)

    def _put(self, entry: Taken | Remark, parent: Taken | None) -> None:
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
        place = str(event.data.get("step", "")).partition(":")[2]
        step = self._steps.get(place) or self._parent(place)
        while step is not None:
            yield step
            step = self._parent(step.id)

    def _parent(self, place: str) -> Taken | None:
        """Return the innermost shown step that a place is inside of."""
        path, rounds = _taken_apart(place)
        for length in range(len(path) - 1, 0, -1):
            for depth in range(len(rounds), -1, -1):
                above = ".".join(path[:length])
                above += f"@{'.'.join(map(str, rounds[:depth]))}" if depth else ""
                if (found := self._steps.get(above)) is not None:
                    return found
        outer, _, inner = place.rpartition("/")  # inside a worker that the step before the dash runs
        while inner:
            if (found := self._steps.get(outer) or self._parent(outer)) is not None:
                return found
            outer, _, inner = outer.rpartition("/")
        return None

    _MEANINGS: ClassVar[Mapping[str, Callable[[RunTree, TaskEvent], None]]] = MappingProxyType(
        {
            "worker-start": _start_worker,
            "worker-result": _end_worker,
            "block-start": _start_step,
            "block-end": _end_step,
            "step-retry": _retry_step,
            "step-failed": _fail_step,
            "human-request": _park,
            "client-tool-request": _park,
            FINISH: _finish,
            ERROR: _fail,
            **dict.fromkeys(_TEXTS, _hear),
            **dict.fromkeys(_TOOLS, _call),
        }
    )


def _position(place: str, parent: Taken | None) -> tuple[tuple[int, ...], str | None]:
    """Return the rounds of the loops between a step and what it is shown inside of, and the branch."""
    if parent is not None and place.startswith(f"{parent.id}/"):
        place, parent = place.removeprefix(f"{parent.id}/"), None
    path, rounds = _taken_apart(place)
    above, around = ((), ()) if parent is None else _taken_apart(parent.id)
    if path[: len(above)] != above:  # inside a worker that a model called
        above, around = path[:-1], ()
    between = path[len(above) : -1]
    has_branch = len(between) > 1 and between[0] == "branches"
    return rounds[len(around) :], _name(between[1]) if has_branch else None


def _taken_apart(place: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the path and the rounds of a place."""
    match = _ROUNDS.search(place)
    if match is None:
        return tuple(place.split(".")), ()
    return tuple(place[: match.start()].split(".")), tuple(map(int, match[1].split(".")))


def _name(part: str) -> str:
    return part.replace("%2E", ".").replace("%25", "%")


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and value else None


def _failure(data: JsonObject) -> str:
    return f"attempt {data.get('attempt')} failed: {data.get('error')} · again in {_seconds(data.get('retryInS'))}"


def _seconds(value: JsonValue) -> str:
    return f"{value:.1f} s" if isinstance(value, int | float) else "a moment"
