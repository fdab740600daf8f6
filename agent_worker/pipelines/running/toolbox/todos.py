"""`agent_worker_todo_write`: lets a model keep a list of what it has to do, which the client sees change."""

from __future__ import annotations

from agent_worker.domain.chat import ToolSpec
from agent_worker.domain.json import JsonObject
from agent_worker.pipelines.definition.threads import ThreadConfig
from agent_worker.pipelines.running.execution import Step
from agent_worker.pipelines.running.toolbox.offer import Call, Offer, Outcome

TODO_TOOL = "agent_worker_todo_write"

_ENTRY: JsonObject = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "content": {"type": "string"},
        "status": {"type": "string", "enum": ["pending", "in_progress", "completed", "cancelled"]},
    },
    "required": ["id", "content", "status"],
    "additionalProperties": False,
}
_SPEC = ToolSpec(
    TODO_TOOL,
    "Write the whole list of what you have to do, in place of the one before. Write it before work in several steps, "
    "and again whenever a status changes.",
    {
        "type": "object",
        "properties": {"todos": {"type": "array", "items": _ENTRY, "maxItems": 100}},
        "required": ["todos"],
        "additionalProperties": False,
    },
)


async def offers(step: Step, config: ThreadConfig) -> list[Offer]:
    """Return the one tool, for a thread with a `todoList`."""
    if not config.todo_list:
        return []

    async def write(call: Call, _part: str) -> Outcome:
        await step.voice.say("todo-update", {"todos": call.arguments["todos"]})
        return Outcome("The list is written.")

    return [Offer(_SPEC, write, display="hidden")]
