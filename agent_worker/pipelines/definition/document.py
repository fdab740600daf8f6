"""The whole definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agent_worker.pipelines.definition.blocks import StartThread
from agent_worker.pipelines.definition.declarations import (
    Dialect,
    Input,
    Limits,
    McpServer,
    OnDemandSkills,
    Reference,
    Resource,
    Settings,
    Skill,
    Tool,
    Trigger,
    Variable,
    WorkerEntry,
)
from agent_worker.pipelines.definition.steps import AnyBlock, Steps, walk
from agent_worker.pipelines.definition.threads import Agent, ThreadConfig
from agent_worker.pipelines.problems import Path, dotted
from agent_worker.pipelines.prompts.template import Template
from agent_worker.pipelines.types.shapes import Shape, Types

AGENT: Path = ("agent",)
"""Where the main thread of an interactive agent stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A worker or an interactive agent, as its files describe it; all mappings keep the document's order.

    A worker has `steps`, and an `output` when it ends with a value; an interactive agent has `triggers`, `handlers` and
    an `agent`. The rest may be in both.

    Attributes:
        settings: Who it is.
        dialect: What becomes of prompt variables that nothing provides.
        prompts: By name: the path in `prompts/` without `.md`.
        output: Variable whose value the run ends with.
    """

    settings: Settings
    dialect: Dialect = "2.3"
    inputs: Mapping[str, Input] = field(default_factory=dict)
    variables: Mapping[str, Variable] = field(default_factory=dict)
    resources: Mapping[str, Resource] = field(default_factory=dict)
    types: Types = field(default_factory=dict)
    tools: Mapping[str, Tool] = field(default_factory=dict)
    skills: Mapping[str, Skill] = field(default_factory=dict)
    on_demand_skills: OnDemandSkills | None = None
    mcp_servers: Mapping[str, McpServer] = field(default_factory=dict)
    workers: Mapping[str, WorkerEntry] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    prompts: Mapping[str, Template] = field(default_factory=dict)
    references: Mapping[str, Reference] = field(default_factory=dict)
    steps: Steps = ()
    output: str | None = None
    triggers: Mapping[str, Trigger] = field(default_factory=dict)
    handlers: Mapping[str, Steps] = field(default_factory=dict)
    agent: Agent | None = None
    configs: Mapping[str, ThreadConfig] = field(init=False, repr=False, compare=False)
    """Of the threads, by the text of where each stands."""

    def __post_init__(self) -> None:
        """Look once for what each `next-message` needs."""
        object.__setattr__(self, "configs", {dotted(path): config for path, config in self.threads()})

    @property
    def names(self) -> frozenset[str]:
        """Every input, variable and resource."""
        return frozenset((*self.inputs, *self.variables, *self.resources))

    def shape(self, name: str) -> Shape | None:
        """Return the type of an input, variable or resource; None when there is none of that name."""
        declared = self.inputs.get(name) or self.variables.get(name) or self.resources.get(name)
        return None if declared is None else declared.shape

    def threads(self) -> Iterator[tuple[Path, ThreadConfig]]:
        """Yield how each thread talks to its model, with where that stands."""
        if self.agent is not None:
            yield AGENT, self.agent.thread
        for block in self.blocks():
            if isinstance(block, StartThread):
                yield block.path, block.config

    def blocks(self) -> Iterator[AnyBlock]:
        """Yield every block of all steps and handlers, at any depth."""
        yield from walk(self.steps)
        for steps in self.handlers.values():
            yield from walk(steps)
