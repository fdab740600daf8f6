"""Play the engine in memory: attempts that die anywhere, questions that are answered, and the rows that clients read."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from agent_worker.domain import events as ev
from agent_worker.domain.chat import ChatModel
from agent_worker.domain.errors import LeaseLost, ProcessorError
from agent_worker.domain.events import Event
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.records import TaskResult
from agent_worker.domain.replay import Call, Checkpoint, Parked, Question
from agent_worker.domain.task import Resume, Task, TaskStatus
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.running.runner import Result
from agent_worker.testing.context import FakeContext
from agent_worker.tools.registry import Tool
from tests.pipelines.running import run

MOST_ATTEMPTS = 60

Row = tuple[str, JsonObject]


@dataclass(frozen=True, slots=True)
class Cut:
    """An attempt dies.

    Attributes:
        after: So many events and checkpoints.
        is_written: Whether what was said since the last checkpoint has reached the table.
    """

    after: int
    is_written: bool = True


class Fragile(FakeContext):
    """Says what the engine says of questions, and dies where it is told to."""

    def __init__(self, task: Task, *, cut: Cut | None, **options: Any) -> None:
        super().__init__(task, **options)
        self._cut = cut
        self._writes = 0
        self._committed = 0

    @property
    def rows(self) -> list[Row]:
        """What has reached the table."""
        if not self._is_lost or self._cut is None:
            events = self.events
        elif not self._cut.is_written:
            events = self.events[: self._committed]
        else:
            events = list(itertools.takewhile(self._is_no_end, self.events))
        return [(event.type, event.data) for event in events]

    def _is_no_end(self, event: Event) -> bool:
        """Tell whether an event can be in the table without the outcome: a run's last ones are written with it."""
        return event.type != "worker-result" or event.data["workerId"] != str(self.task.id)

    async def emit(self, event: Event) -> None:
        self._write()
        await super().emit(event)

    def remember(self, checkpoint: Checkpoint) -> JsonValue:
        self._write()
        value = super().remember(checkpoint)
        self._committed = len(self.events)
        self._write()
        return value

    def _write(self) -> None:
        self._writes += 1
        if self._cut is not None and self._writes > self._cut.after:
            self.lose_lease()
        self._check_lease()

    def _park(self, question: Question) -> NoReturn:
        self._check_lease()
        if self.recall(question.key, question.call) is None:
            step = self._step.get()
            self.events += [ev.with_step(event, step) for event in _says(question, str(self.task.id))]
        super()._park(question)


def _says(question: Question, execution_id: str) -> list[Event]:
    if question.call is Call.HUMAN:
        title = str(question.fields["title"])
        return [ev.human_request(key=question.key, kind="approval", title=title)]
    calls: Any = question.fields["context"]
    return [
        ev.client_tool_request(execution_id, calls["toolCalls"]),
        ev.finish("client-tool-calls", execution_id),
    ]


@dataclass(slots=True)
class Played:
    """One task from its first attempt to its end.

    Attributes:
        rows: As the events table holds them.
        end: What the engine recorded.
        result: None when it failed.
    """

    rows: list[Row] = field(default_factory=list)
    end: TaskResult | None = None
    result: Result | None = None


async def play(
    source: Definition,
    given: JsonObject,
    *,
    task: Task,
    tools: Sequence[Tool],
    library: Mapping[str, Definition],
    models: Callable[[str | None], ChatModel] | None = None,
    cuts: Sequence[Cut] = (),
) -> Played:
    """Make attempts until there is an end; the first ones die as `cuts` says."""
    played, known, left = Played(), dict[str, Checkpoint](), iter(cuts)
    answers: dict[Call, dict[str, Any]] = {Call.HUMAN: {}, Call.CLIENT: {}}
    for _ in range(MOST_ATTEMPTS):
        options = {"human": answers[Call.HUMAN], "client": answers[Call.CLIENT], "known": known}
        ctx = Fragile(task, cut=next(left, None), models=models, **options)
        keep = [key for key, each in known.items() if each.call is Call.STEP]
        played.rows.append(("attempt-start", {"attempt": task.attempt, "keep": keep}))
        try:
            played.result, _ = await run(source, given, ctx=ctx, tools=tools, library=library)
        except Parked as parked:
            task = task._replace(resume=Resume.ANSWERED)
            answers[parked.question.call][parked.question.key] = answer(parked.question)
            played.rows += ctx.rows
        except LeaseLost:
            task = task._replace(resume=Resume.RESCUED)
            # A question is asked with the end of its attempt, or not at all.
            known = {key: each for key, each in known.items() if each.is_done}
            played.rows += ctx.rows
        except ProcessorError as error:
            played.rows += ctx.rows
            if not error.retryable or task.attempts_left <= 0:
                played.rows.append(
                    _row(ev.error(code=error.code, message=str(error), retryable=error.retryable))
                )
                played.end = _end(task, TaskStatus.FAILED, {"error": str(error), "code": error.code})
                return played
            task = task._replace(attempt=task.attempt + 1, resume=Resume.RETRY)
            failed = ev.attempt_failed(
                attempt=task.attempt, code=error.code, message=str(error), retry_in_s=0
            )
            played.rows.append(_row(failed))
        else:
            played.rows += ctx.rows
            played.end = _end(task, TaskStatus.COMPLETED, {"output": played.result.output})
            return played
    raise AssertionError(f"no end after {MOST_ATTEMPTS} attempts")


def answer(question: Question) -> Any:
    """Answer as a person or a client would; of several calls every other one fails."""
    if question.call is Call.HUMAN:
        return {"approved": True}
    calls: Any = question.fields["context"]
    return [
        {"toolCallId": call["toolCallId"], **({"error": "no"} if number % 2 else {"result": "done"})}
        for number, call in enumerate(calls["toolCalls"])
    ]


def legs_of(rows: Sequence[Row]) -> Iterator[int]:
    """Yield where each leg begins: at the first attempt, and at each one after a `finish`."""
    kinds = [kind for kind, _ in rows]
    yield 0
    for before, (number, kind) in itertools.pairwise(enumerate(kinds)):
        if kind == "attempt-start" and before[1] == "finish":
            yield number


def _row(event: Event) -> Row:
    return event.type, event.data


def _end(task: Task, status: TaskStatus, response: JsonObject) -> TaskResult:
    now = task.created_at
    return TaskResult(
        id=task.id,
        kind=task.kind,
        status=status,
        response=response,
        attempts=task.attempt,
        created_at=now,
        started_at=now,
        finished_at=now,
    )
