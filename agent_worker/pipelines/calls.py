"""Calls of tools, by a step or by a model: in the worker where it has the tool, else in the client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jsonschema import Draft202012Validator

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.processor import TaskContext
from agent_worker.pipelines.definition.declarations import Display
from agent_worker.pipelines.execution import Step
from agent_worker.pipelines.types.schema import parameters_schema
from agent_worker.tools.registry import ToolError

REFERENCE_TOOL = "agent_worker_reference_read"
"""Built in for threads that have references."""


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

    def as_json(self) -> JsonObject:
        """Return `{result}` or `{error, retryable}`."""
        if self.error is not None:
            return {"error": self.error, "retryable": self.is_retryable}
        return {"result": self.result}

    @classmethod
    def read(cls, stored: JsonObject) -> Outcome:
        """Return what `as_json` wrote."""
        error = stored.get("error")
        if error is not None:
            return cls(error=str(error), is_retryable=stored.get("retryable") is not False)
        return cls(stored.get("result"))

    @property
    def text(self) -> str:
        """What a model reads of it."""
        if self.error is not None:
            return json.dumps({"error": self.error}, ensure_ascii=False)
        return self.result if isinstance(self.result, str) else json.dumps(self.result, ensure_ascii=False)


class Caller:
    """Makes the calls of one step.

    Args:
        step: The step.
        raises: Whether a call that fails here is an error, which is not remembered, so that a retry makes it again.
    """

    def __init__(self, step: Step, *, raises: bool = False) -> None:
        self._step = step
        self._raises = raises

    async def announce(self, call: Call, *, written: str | None = None) -> None:
        """Say that a call is made.

        Args:
            call: The call.
            written: The arguments as a model wrote them; None when a step has them.
        """
        display, title = self._display(call.name)
        if display == "hidden":
            return
        say, called = self._step.voice.say, {"toolCallId": call.id, "toolName": call.name}
        await say("tool-input-start", {**called, "title": title, "display": display})
        if written and display != "title":
            await say("tool-input-delta", {"toolCallId": call.id, "inputTextDelta": written})
        await say("tool-input-end", {"toolCallId": call.id})
        await say("tool-input-available", {**called, "input": {} if display == "title" else call.arguments})

    async def report(self, call: Call, outcome: Outcome) -> None:
        """Say what a call came to."""
        display, _ = self._display(call.name)
        if display == "hidden":
            return
        if outcome.error is not None:
            await self._step.voice.say("tool-output-error", {"toolCallId": call.id, "error": outcome.error})
            return
        shown = "" if display == "title" or outcome.result is None else outcome.result
        await self._step.voice.say("tool-output-available", {"toolCallId": call.id, "output": shown})

    async def make(self, calls: Sequence[Call], *, part: str) -> list[Outcome]:
        """Make calls that belong together: those of the worker side by side, then all of the client at once.

        Args:
            calls: In order.
            part: Names them within the step, for checkpoints and idempotency keys.

        Returns:
            The outcomes in the order of the calls. A tool that fails is an outcome, no error.
        """
        wrong = {index: problem for index, call in enumerate(calls) if (problem := self._problem(call))}
        outcomes: dict[int, Outcome] = {
            index: Outcome(error=problem, is_retryable=False) for index, problem in wrong.items()
        }
        ours = [index for index, call in enumerate(calls) if index not in wrong and self._is_ours(call.name)]
        made = await asyncio.gather(*(self._run(calls[index], f"{part}.{index}") for index in ours))
        outcomes.update(zip(ours, made, strict=True))
        theirs = {index: call for index, call in enumerate(calls) if index not in outcomes}
        if theirs:
            answers = await self._ask(list(theirs.values()), part)
            outcomes.update({index: answers[call.id] for index, call in theirs.items()})
        for index in (*wrong, *theirs):
            await self.report(calls[index], outcomes[index])
        return [outcomes[index] for index in range(len(calls))]

    def _display(self, name: str) -> tuple[Display, str | None]:
        declared = self._step.execution.definition.tools.get(name)
        return ("description", None) if declared is None else (declared.display, declared.title)

    def _is_ours(self, name: str) -> bool:
        return name == REFERENCE_TOOL or self._step.execution.tool(name) is not None

    def _problem(self, call: Call) -> str | None:
        """Return what is wrong with a call's name or arguments."""
        if call.name == REFERENCE_TOOL:
            return None
        definition = self._step.execution.definition
        declared = definition.tools.get(call.name)
        if declared is None:
            return f"There is no tool {call.name!r}."
        schema = parameters_schema(declared.parameters, definition.types)
        error = next(Draft202012Validator(schema).iter_errors(dict(call.arguments)), None)
        return (
            None if error is None else f"The arguments do not fit: {error.json_path}: {error.message[:300]}"
        )

    async def _run(self, call: Call, part: str) -> Outcome:
        """Run a call here, once; what it said and returned is kept."""

        async def run() -> JsonObject:
            outcome = await self._outcome(call, part)
            await self.report(call, outcome)
            if outcome.error is not None and self._raises:
                raise as_error(call.name, outcome)
            return outcome.as_json()

        return Outcome.read(await self._step.note(f"tool-{part}", run))

    async def _outcome(self, call: Call, part: str) -> Outcome:
        execution = self._step.execution
        if call.name == REFERENCE_TOOL:
            reference = execution.definition.references.get(str(call.arguments.get("name")))
            return (
                Outcome(error="There is no such reference.")
                if reference is None
                else Outcome(reference.content)
            )
        tool = execution.tool(call.name)
        assert tool is not None  # noqa: S101 - _is_ours
        try:
            return Outcome(await tool.call(call.arguments, idempotency_key=self._step.idempotency_key(part)))
        except ProcessorError as error:
            return Outcome(error=str(error), is_retryable=error.retryable)

    async def _ask(self, calls: Sequence[Call], part: str) -> dict[str, Outcome]:
        """Have the client make calls; the task parks until it has."""
        execution = self._step.execution
        ctx: TaskContext = execution.ctx
        asked: list[JsonObject] = [
            {
                "toolCallId": call.id,
                "toolName": execution.tool_names.get(call.name, call.name),
                "args": call.arguments,
            }
            for call in calls
        ]
        # Each try asks anew; a replay makes the tries again and finds their answers.
        key = f"client-{part}-{self._step.attempt}:{self._step.place}"
        answers = await execution.quiet.ask(lambda: ctx.ask_client(key, asked))
        found = {str(each.get("toolCallId")): each for each in answers if isinstance(each, Mapping)}
        return {call.id: _answered(found.get(call.id)) for call in calls}


def as_error(name: str, outcome: Outcome) -> ToolError:
    """Return the error for a call that failed."""
    return ToolError(f"The tool {name!r} failed: {outcome.error}", retryable=outcome.is_retryable)


def _answered(answer: JsonObject | None) -> Outcome:
    if answer is None:
        return Outcome(error="The client sent no result.")
    error = answer.get("error")
    return Outcome(answer.get("result")) if error is None else Outcome(error=str(error))
