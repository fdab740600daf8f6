"""What a run is told in: the steps that were taken, and what each of them said."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from agent_worker.domain.json import JsonValue
from agent_worker.pipelines.running.stream import STOPPED

StepState: TypeAlias = Literal["processing", "waiting", "completed", "failed", "cancelled"]


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
