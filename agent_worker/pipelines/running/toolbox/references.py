"""`agent_worker_reference_read`: lets a model fetch the documents that its thread names."""

from __future__ import annotations

from agent_worker.domain.chat import ToolSpec
from agent_worker.domain.json import JsonObject
from agent_worker.pipelines.definition.threads import ThreadConfig
from agent_worker.pipelines.running.execution import Step
from agent_worker.pipelines.running.toolbox.offer import Call, Offer, Outcome

REFERENCE_TOOL = "agent_worker_reference_read"


async def offers(step: Step, config: ThreadConfig) -> list[Offer]:
    """Return the one tool, for a thread that has references."""
    if not config.references:
        return []
    known = {name: step.execution.definition.references[name] for name in config.references}
    listed = "; ".join(f"{name}: {reference.description}" for name, reference in known.items())
    schema: JsonObject = {
        "type": "object",
        "properties": {"name": {"type": "string", "enum": list(known)}},
        "required": ["name"],
        "additionalProperties": False,
    }

    async def read(call: Call, _part: str) -> Outcome:
        return Outcome(known[str(call.arguments["name"])].content)

    return [Offer(ToolSpec(REFERENCE_TOOL, f"Read a document. There are: {listed}", schema), read)]
