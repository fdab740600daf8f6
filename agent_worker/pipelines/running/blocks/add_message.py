"""`add-message`: add a turn to a conversation.

Files go to the model as a list of their names, types and addresses, since the chat port takes text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.definition.blocks import AddMessage
from agent_worker.pipelines.running.execution import Step, unsupported
from agent_worker.pipelines.running.state import Effect, Thread


async def run(step: Step, block: AddMessage) -> Effect:
    """Render the prompt and add it.

    Raises:
        ProcessorError: The conversation was not begun (code `no_thread`).
    """
    require_thread(step, block.thread)
    content = await step.execution.prompt(block.prompt, block.input, step.scope)
    if files := list(_files(step, block)):
        listed = json.dumps(files, ensure_ascii=False)
        content = f"{content}\n\nFiles, as JSON: {listed}"
    message: dict[str, JsonValue] = {"role": block.role, "content": content}
    if not block.visible:
        message["visible"] = False
    if block.ui_content is not None:
        message["uiContent"] = step.scope.values.get(block.ui_content)
    return Effect(messages={block.thread: [message]})


def require_thread(step: Step, name: str) -> Thread:
    """Return a conversation.

    Raises:
        ProcessorError: It was not begun, because the step that begins it was skipped or failed (code `no_thread`).
    """
    thread = step.scope.threads.get(name)
    if thread is None:
        raise unsupported(f"The thread {name!r} was not begun before {step.block.name!r}.", code="no_thread")
    return thread


def _files(step: Step, block: AddMessage) -> Sequence[JsonObject]:
    found: list[JsonObject] = []
    for name in block.files:
        value = step.scope.values.get(name)
        if isinstance(value, dict):
            found.append(value)
        elif isinstance(value, list):
            found.extend(each for each in value if isinstance(each, dict))
    return found
