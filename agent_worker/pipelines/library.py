"""What a run is made of: its own definition and those of the workers it calls, the same ones in all of its attempts.

Definitions come with the request or are stored. Of a stored one the newest version counts when the run starts, unless
the request names one; which it was is kept with the run's first checkpoint, so that a definition that is pushed while
the run waits changes nothing about it. A worker that is not there at the start is not there for the whole run.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from agent_worker.domain.definitions import StoredDefinition, UnknownDefinition
from agent_worker.domain.errors import InvalidPayload
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.processor import TaskContext
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.names import RUN_START
from agent_worker.pipelines.readings import Readings

MOST_WORKERS = 20
"""Other definitions that one run may use, all levels together."""

FORK = "run:fork"
"""A note that a fork finds: `{task, step, pins}`, with the pins of the run that it goes on from."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One version of one definition."""

    id: UUID
    version: int

    def as_json(self) -> JsonObject:
        """Return `{id, version}`."""
        return {"id": str(self.id), "version": self.version}

    @classmethod
    def read(cls, stored: JsonValue) -> Self:
        """Return what `as_json` wrote."""
        assert isinstance(stored, Mapping)  # noqa: S101 - written above
        return cls(UUID(str(stored["id"])), int(str(stored["version"])))


@dataclass(frozen=True, slots=True)
class Pins:
    """The stored definitions that a run uses.

    Attributes:
        agent: What runs; None when it came with the request.
        workers: What it calls, by slug, without those that came with the request.
    """

    agent: Pin | None
    workers: Mapping[str, Pin]

    def as_json(self) -> JsonObject:
        """Return `{agent?: {id, version}, workers?: {slug: {id, version}}}`, which is empty where nothing is pinned."""
        stored: dict[str, JsonValue] = {}
        if self.agent is not None:
            stored["agent"] = self.agent.as_json()
        if self.workers:
            stored["workers"] = {slug: pin.as_json() for slug, pin in self.workers.items()}
        return stored

    @classmethod
    def read(cls, stored: JsonObject) -> Self:
        """Return what `as_json` wrote."""
        agent, workers = stored.get("agent"), stored.get("workers")
        found = workers if isinstance(workers, Mapping) else {}
        return cls(
            None if agent is None else Pin.read(agent), {slug: Pin.read(pin) for slug, pin in found.items()}
        )


NO_PINS = Pins(None, {})
"""Of a run whose definitions all came with the request."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a run is made of.

    Attributes:
        definition: What runs.
        workers: What it may call, at any depth, by slug.
        pins: Which of them are stored ones.
    """

    definition: Definition
    workers: Mapping[str, Definition]
    pins: Pins


class Library:
    """Reads definitions, each once as long as it is among the last used.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int = 32) -> None:
        self._most = most
        self._kept: OrderedDict[Pin, Definition] = OrderedDict()
        self._readings = Readings(most)

    async def load(
        self,
        ctx: TaskContext,
        given: Definition | tuple[str, int | None],
        inline: Mapping[str, Definition],
    ) -> Loaded:
        """Find what a run is made of, as it was pinned when the run started or as it is now.

        Args:
            ctx: The attempt's.
            given: The definition that came with the request; or the slug or id, and the version if one is named.
            inline: Workers that came with the request; they go before stored ones.

        Raises:
            UnknownDefinition: There is no such definition.
            InvalidPayload: A stored one is not valid, or workers call too many workers.
        """
        pins = await pinned(ctx)
        if isinstance(given, Definition):
            definition, agent = given, None
        elif pins is not None and pins.agent is not None:
            definition, agent = await self._get(ctx, pins.agent, "$.agent"), pins.agent
        else:
            definition, agent = await self._find(ctx, *given, path="$.agent")
        if pins is None:
            return await self._with_workers(ctx, definition, agent, inline)
        stored = {slug: await self._get(ctx, pin, f"$.workers.{slug}") for slug, pin in pins.workers.items()}
        return Loaded(definition, {**stored, **inline}, pins)

    async def _with_workers(
        self, ctx: TaskContext, definition: Definition, agent: Pin | None, inline: Mapping[str, Definition]
    ) -> Loaded:
        workers = dict(inline)
        pins: dict[str, Pin] = {}
        seen: set[str] = set()
        callers = deque([definition])
        while callers:
            for slug in set(callers.popleft().workers) - seen:
                seen.add(slug)
                if slug not in inline:
                    try:
                        workers[slug], pins[slug] = await self._find(
                            ctx, slug, None, path=f"$.workers.{slug}"
                        )
                    except UnknownDefinition:
                        continue  # whoever comes to the step that calls it is told
                if len(workers) > MOST_WORKERS:
                    raise InvalidPayload(f"calls more than {MOST_WORKERS} workers in all", path="$.workers")
                callers.append(workers[slug])
        return Loaded(definition, workers, Pins(agent, pins))

    async def _find(
        self, ctx: TaskContext, reference: str, version: int | None, *, path: str
    ) -> tuple[Definition, Pin]:
        stored = await ctx.definition(reference, version)
        return await self.read(stored, path), Pin(stored.id, stored.version)

    async def _get(self, ctx: TaskContext, pin: Pin, path: str) -> Definition:
        """Return a version, without asking for it when it has been read before."""
        kept = self._recall(pin)
        if kept is not None:
            return kept
        return await self.read(await ctx.definition(str(pin.id), pin.version), path)

    async def read(self, stored: StoredDefinition, path: str) -> Definition:
        """Return what a stored definition says.

        Raises:
            InvalidPayload: It is not valid, for it was stored by other means; names `path`.
        """
        pin = Pin(stored.id, stored.version)
        kept = self._recall(pin)
        if kept is None:
            kept = self._kept[pin] = await self._readings.read(stored.content, path=path)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return kept

    async def read_inline(self, content: JsonValue, path: str) -> Definition:
        """Return what a definition says that came with a request.

        Raises:
            InvalidPayload: It is not valid; names `path`.
        """
        return await self._readings.read(content, path=path)

    def _recall(self, pin: Pin) -> Definition | None:
        kept = self._kept.get(pin)
        if kept is not None:
            self._kept.move_to_end(pin)
        return kept


async def pinned(ctx: TaskContext) -> Pins | None:
    """Return what an earlier attempt pinned, or the run that this one was forked from; None when nothing has begun."""
    fork = await ctx.checkpoint.get(FORK)
    if isinstance(fork, Mapping):
        pins = fork["pins"]
        assert isinstance(pins, Mapping)  # noqa: S101 - written by a fork
        return Pins.read(pins)

    async def not_yet() -> JsonObject:
        raise _NotStarted

    try:
        return Pins.read(await ctx.step(RUN_START, not_yet))
    except _NotStarted:
        return None


class _NotStarted(Exception):
    """The run has no first checkpoint yet: a step that raises is not remembered."""
