"""`serialize-thread`: write a conversation as Markdown or JSON; the system prompt and tool traffic stay out."""

from __future__ import annotations

import json

from agent_worker.pipelines.definition.blocks import SerializeThread
from agent_worker.pipelines.running.blocks.add_message import require_thread
from agent_worker.pipelines.running.execution import Step
from agent_worker.pipelines.running.state import Effect

_SPEAKERS = {"user": "User", "assistant": "Assistant", "system": "System"}


async def run(step: Step, block: SerializeThread) -> Effect:
    """Write `## User`, `## Assistant` sections, or `[{"role", "content"}]`.

    Raises:
        ProcessorError: The conversation was not begun (code `no_thread`).
    """
    thread = require_thread(step, block.thread)
    turns = [
        (str(turn["role"]), str(turn["content"]))
        for turn in thread.messages
        if turn["role"] in _SPEAKERS and turn["content"]
    ]
    if block.format == "json":
        text = json.dumps([{"role": role, "content": content} for role, content in turns], ensure_ascii=False)
    else:
        text = "\n\n".join(f"## {_SPEAKERS[role]}\n\n{content}" for role, content in turns)
    return step.writes(block.output, text)
