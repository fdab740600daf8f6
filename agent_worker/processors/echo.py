"""Kind `echo`: answers with the prompt itself. The cheapest task there is, for trying and measuring the queue."""

from __future__ import annotations

from typing import ClassVar

from agent_worker.domain.errors import InvalidPayload
from agent_worker.domain.json import JsonObject
from agent_worker.domain.processor import TaskContext
from agent_worker.domain.task import Task


class Echo:
    """Answer `{"prompt": str}` with `{"answer": prompt}`, without a model and without events."""

    kind = "echo"
    payload_schema: ClassVar[JsonObject] = {
        "type": "object",
        "properties": {"prompt": {"type": "string", "description": "What to say back."}},
        "required": ["prompt"],
    }

    async def process(self, task: Task, ctx: TaskContext) -> JsonObject:  # noqa: ARG002 - the protocol's
        """Return the prompt.

        Raises:
            InvalidPayload: There is no prompt, or it is no string.
        """
        prompt = task.request_payload.get("prompt")
        if not isinstance(prompt, str):
            raise InvalidPayload("must be a string", path="$.prompt")
        return {"answer": prompt}
