"""`human-approval`: ask a person to approve and to fill in a form; the task waits without a worker."""

from __future__ import annotations

from collections.abc import Mapping

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.events import human_answer, human_silence
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.definition.flow import HumanApproval
from agent_worker.pipelines.running.execution import Step
from agent_worker.pipelines.running.state import Effect
from agent_worker.pipelines.types.schema import parameters_schema

_LATE = "human_timeout"
_LONGEST_TITLE = 200


async def run(step: Step, block: HumanApproval) -> Effect:
    """Return the answer, or park until it comes.

    Raises:
        ProcessorError: Nobody answered in time and `onTimeout` is `fail` (`human_timeout`), or the question was
            withdrawn (`human_cancelled`).
    """
    text = await step.execution.prompt(block.prompt, block.input, step.scope)
    ctx, key = step.execution.ctx, f"ask:{step.place}"

    async def ask() -> JsonObject:
        return await ctx.ask_human(
            key,
            (block.title or block.description or block.name)[:_LONGEST_TITLE],
            description=text,
            form=_form(step, block),
            timeout_s=block.wait_s,
        )

    try:
        answer = await step.execution.quiet.ask(ask)
    except ProcessorError as error:
        await ctx.emit(human_silence(key=key, reason=str(error)))
        if error.code != _LATE or block.on_timeout == "fail":
            raise
        answer = {"approved": block.on_timeout == "approve"}
    else:
        await ctx.emit(human_answer(key=key, response=answer))
    is_approved = answer.get("approved") is True
    fields = {name: answer[name] for name in block.form if name in answer}
    values: dict[str, JsonValue] = {}
    if block.approved is not None:
        values[block.approved] = is_approved
    if block.output is not None:
        values[block.output] = {"approved": is_approved, **fields}
    return Effect(values=values)


def _form(step: Step, block: HumanApproval) -> JsonObject:
    """Return the JSON Schema of the answer: `approved`, and the fields of the form when there are any."""
    schema = parameters_schema(block.form, step.execution.definition.types)
    properties = schema["properties"]
    assert isinstance(properties, Mapping)  # noqa: S101 - parameters_schema makes no other
    return {
        **schema,
        "properties": {"approved": {"type": "boolean"}, **properties},
        # A rejection need not fill in the form.
        "required": ["approved"],
    }
