"""Which tools a thread has. They come from several sources, one file each, and are all called in the same way.

A source is a function of the step and the thread's configuration that returns offers. It gives the same ones in every
attempt of a run: what may change outside is remembered in a checkpoint.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from agent_worker.pipelines.definition.threads import ThreadConfig
from agent_worker.pipelines.running.execution import Step, unsupported
from agent_worker.pipelines.running.toolbox import declared, mcp, references, skills, todos, workers
from agent_worker.pipelines.running.toolbox.offer import Offer

Source: TypeAlias = Callable[[Step, ThreadConfig], Awaitable[Sequence[Offer]]]

_SOURCES: tuple[Source, ...] = (
    declared.offers,
    mcp.offers,
    references.offers,
    workers.offers,
    todos.offers,
    skills.offers,
)


def has_tools(config: ThreadConfig) -> bool:
    """Tell whether the thread's model may call anything, and so may take several rounds."""
    listed = (config.tools, config.references, config.mcp_servers, config.workers, config.skills)
    return config.todo_list or any(listed)


async def tools_of_thread(step: Step, config: ThreadConfig) -> dict[str, Offer]:
    """Return what the thread's model may call, by name.

    Raises:
        ProcessorError: Two tools have one name (code `invalid_setting`), or a source failed.
    """
    found: dict[str, Offer] = {}
    for source in _SOURCES:
        for offer in await source(step, config):
            if offer.spec.name in found:
                raise unsupported(
                    f"The thread has two tools that are called {offer.spec.name!r}.", code="invalid_setting"
                )
            found[offer.spec.name] = offer
    return found


async def tool_of_step(step: Step, name: str) -> Mapping[str, Offer]:
    """Return the tool that a `tool-call` step names; nothing when there is none."""
    offer = await declared.offer(step, name) or await mcp.offer(step, name)
    return {} if offer is None else {name: offer}
