"""Calls of tools, by a step or by a model: in the worker where it has the tool, else in the client."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from agent_worker.domain.json import JsonObject
from agent_worker.domain.processor import TaskContext
from agent_worker.pipelines.definition.declarations import Display
from agent_worker.pipelines.names import as_built_in
from agent_worker.pipelines.running.execution import Step
from agent_worker.pipelines.running.pace import MOST_RETURNED, weigh
from agent_worker.pipelines.running.toolbox.offer import Call, Offer, Outcome, Run
from agent_worker.tools.registry import ToolError


class Caller:
    """Makes the calls of one step.

    Args:
        step: The step.
        offers: The tools that it may call, by name.
        raises: Whether a call that fails is an error, which is not remembered, so that a retry makes it again.
    """

    def __init__(self, step: Step, offers: Mapping[str, Offer], *, raises: bool = False) -> None:
        self._step = step
        self._offers = offers
        self._raises = raises
        # What a try may leave behind for the next is named without its number.
        self._try = step.attempt if raises else 1

    async def announce(self, call: Call, *, written: str | None = None) -> None:
        """Say that a call is made.

        Args:
            call: The call.
            written: The arguments as a model wrote them; None when a step has them.
        """
        offer = self._offer(call.name)
        if offer is not None and offer.announce is not None:
            if self._problem(call) is None:
                await offer.announce(call, written or "")
            return
        display, title = self._display(call)
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
        display, _ = self._display(call)
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
        ours = {
            index: run
            for index, call in enumerate(calls)
            if index not in wrong and (offer := self._offer(call.name)) and (run := offer.run) is not None
        }

        async def make_one(index: int, run: Run) -> None:
            outcomes[index] = await self._run(run, calls[index], f"{part}.{index}")

        # One of them may be a worker that asks a question.
        quiet = self._step.execution.quiet
        await quiet.together([functools.partial(make_one, index, run) for index, run in ours.items()])
        theirs = {index: call for index, call in enumerate(calls) if index not in outcomes}
        if theirs:
            answers = await self._ask(list(theirs.values()), part)
            outcomes.update({index: answers[call.id] for index, call in theirs.items()})
        if told := [(calls[index], outcomes[index]) for index in (*wrong, *theirs)]:
            await self._tell(told, part)
        return [outcomes[index] for index in range(len(calls))]

    async def _tell(self, told: Sequence[tuple[Call, Outcome]], part: str) -> None:
        """Report what no checkpoint has reported yet, once in all legs; a try that asks anew tells anew."""

        async def tell() -> JsonObject:
            for call, outcome in told:
                await self.report(call, outcome)
            return {}

        await self._step.note(f"told-{part}-{self._try}", tell)

    def _offer(self, name: str) -> Offer | None:
        """Find a tool; a built-in one also under the name that it has in the protocol, which prompts may use."""
        return self._offers.get(name) or self._offers.get(as_built_in(name))

    def _display(self, call: Call) -> tuple[Display, str | None]:
        offer = self._offer(call.name)
        if offer is None:
            return "description", None
        return (offer.display, offer.title) if offer.display_of is None else offer.display_of(call)

    def _problem(self, call: Call) -> str | None:
        """Return what is wrong with a call's name or arguments."""
        offer = self._offer(call.name)
        if offer is None:
            return f"There is no tool {call.name!r}."
        # Schemas may come from outside: what they refer to is looked up nowhere else.
        validator = Draft202012Validator(offer.spec.parameters, registry=Registry())
        try:
            error = next(validator.iter_errors(dict(call.arguments)), None)
        except (Unresolvable, RecursionError):
            return "The schema of the tool's arguments cannot be followed."
        return (
            None if error is None else f"The arguments do not fit: {error.json_path}: {error.message[:300]}"
        )

    async def _run(self, run: Run, call: Call, part: str) -> Outcome:
        """Make a call here. What it said and returned is kept, but for a step's only call: that is all that the step does."""

        async def make() -> JsonObject:
            outcome = await run(call, part)
            if outcome.error is None and weigh(outcome.result, MOST_RETURNED) > MOST_RETURNED:
                problem = f"It returned more than {MOST_RETURNED // 2**20} Mi characters."
                outcome = Outcome(error=problem, is_retryable=False, used=outcome.used)
            await self.report(call, outcome)
            if outcome.error is not None and self._raises:
                raise as_error(call.name, outcome)
            return outcome.as_json()

        if self._raises:
            return Outcome.read(await make())
        return Outcome.read(await self._step.note(f"tool-{part}", make))

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
        # A step that is nothing but a call asks anew with each try, under another id. What a model has asked is answered
        # once for all tries, as calls of the worker are: a late repeat of the answer can meet no younger question.
        key = f"client-{part}-{self._try}:{self._step.place}"
        answers = await execution.quiet.ask(lambda: ctx.ask_client(key, asked, timeout_s=None))
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
