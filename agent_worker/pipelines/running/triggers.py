"""Which steps a request runs: a worker's own, or those with which an interactive agent answers a trigger.

One trigger is one run, as a worker would make it: the `agent` begins the thread `main`, the handler's steps follow, and what
`main` was answered last is the output. Nothing outlives the run: the next trigger begins with an empty conversation.
"""

from __future__ import annotations

from dataclasses import replace

from agent_worker.domain.errors import InvalidPayload
from agent_worker.domain.json import JsonValue
from agent_worker.pipelines.definition.blocks import StartThread
from agent_worker.pipelines.definition.document import AGENT, Definition
from agent_worker.pipelines.definition.threads import DEFAULT_AGENT_STEPS, Agent, ThreadConfig
from agent_worker.pipelines.names import MAIN_THREAD
from agent_worker.pipelines.problems import quoted, suggestion
from agent_worker.pipelines.running.state import Thread


def to_run(definition: Definition, trigger: JsonValue, *, path: str = "$.trigger") -> Definition:
    """Return what a request runs: a definition with steps.

    Args:
        definition: A valid one.
        trigger: What the request says under `path`; None when it says nothing.
        path: Where it says so.

    Raises:
        InvalidPayload: A worker is given a trigger, or an agent none that it has.
    """
    if definition.agent is None:
        if trigger is not None:
            raise InvalidPayload("is of interactive agents; this is a worker", path=path)
        return definition
    known = definition.triggers
    if not isinstance(trigger, str) or trigger not in known:
        problem = (
            "must name a trigger of the agent, which is interactive"
            if not isinstance(trigger, str)
            else f"names no trigger of the agent: {quoted(trigger)}"
        )
        hint = suggestion(trigger if isinstance(trigger, str) else "", known)
        raise InvalidPayload(f"{problem}{hint}", path=path)
    begin = StartThread(
        name="agent",
        path=AGENT,
        line=None,
        display="hidden",
        thread=MAIN_THREAD,
        config=_thread(definition.agent),
    )
    return replace(
        definition,
        inputs={**definition.inputs, **known[trigger].inputs},
        steps=(begin, *definition.handlers[trigger]),
        agent=None,
        triggers={},
        handlers={},
    )


def last_answer(thread: Thread | None) -> JsonValue:
    """Return what a model said last in a conversation; None when it said nothing."""
    turns = () if thread is None else reversed(thread.messages)
    return next((turn["content"] for turn in turns if turn["role"] == "assistant" and turn["content"]), None)


def _thread(agent: Agent) -> ThreadConfig:
    if agent.thread.max_steps is not None or not agent.agentic:
        return agent.thread
    return replace(agent.thread, max_steps=DEFAULT_AGENT_STEPS)
