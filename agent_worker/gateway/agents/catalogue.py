"""Stored pipelines: found by what a path names, and read once for each version."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from agent_worker.db.definitions import Definitions
from agent_worker.domain.definitions import DefinitionHead, StoredDefinition
from agent_worker.domain.errors import GatewayError
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.gateway.agents.refusals import invalid, not_found, refusals
from agent_worker.pipelines.library import Library
from agent_worker.pipelines.problems import Report
from agent_worker.pipelines.reading.wire import read_wire
from agent_worker.pipelines.running.triggers import to_run
from agent_worker.pipelines.types.inputs import complete_inputs
from agent_worker.pipelines.validation import validate

_REFERENCE = re.compile(r"[A-Za-z0-9-]{1,255}")
_SHOWN_ERRORS = 3


class Catalogue:
    """The agents that callers name.

    Args:
        definitions: Of the kind `pipeline`, with the rights of the gateway: whoever may run tasks may run any of them.
    """

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._library = Library()

    async def find(
        self, reference: str, version: int | None = None, *, is_slug: bool = False
    ) -> StoredDefinition:
        """Return an agent by its slug or id.

        Args:
            reference: As the path has it.
            version: One that may be archived by now; None is the newest of one that is in use.
            is_slug: Whether it cannot be an id.

        Raises:
            GatewayError: 404, there is none.
        """
        found = await self._find(reference, version)
        if found is None or (is_slug and found.slug != reference):
            raise not_found("agent")
        return found

    async def heads(self) -> list[DefinitionHead]:
        """Return all that are in use."""
        return await self._definitions.heads()

    async def request(
        self, agent: StoredDefinition, trigger: str | None, given: JsonObject
    ) -> dict[str, JsonValue]:
        """Return the request of a task that runs an agent, once it is sure that the run can begin.

        Args:
            agent: What runs.
            trigger: Of an interactive agent, which one; passed over for a worker, which has none.
            given: Values of its inputs, and of the trigger's.

        Raises:
            GatewayError: 400, the input does not fit, or the agent has no such trigger.
        """
        request: dict[str, JsonValue] = {"agent": agent.slug, "version": agent.version, "input": given}
        with refusals():
            definition = await self._library.read(agent, f"The agent {agent.slug}")
            if definition.agent is not None:
                definition = to_run(definition, trigger, path="$.triggerName")
                request["trigger"] = trigger
            # A thread, for the largest inputs take a second.
            await asyncio.to_thread(
                complete_inputs, definition.inputs, given, definition.types, path="$.input"
            )
        return request

    async def create(self, content: JsonObject) -> StoredDefinition:
        """Store a new agent.

        Raises:
            GatewayError: 400, it is not valid; 409, its slug is taken.
        """
        slug = await self._valid_slug(content)
        if await self._find(slug) is not None:
            raise GatewayError(f"There is an agent {slug} already.", status=409, code="already_exists")
        return await self._push(slug, content)

    async def change(self, agent: StoredDefinition, parts: Mapping[str, JsonValue]) -> StoredDefinition:
        """Store a next version: what is given in the place of what was there.

        Raises:
            GatewayError: 400, it would not be valid, or would have another slug.
        """
        content = {**agent.content, **parts}
        settings = content.get("settings")
        if isinstance(settings, Mapping):
            content["settings"] = {"slug": agent.slug, **settings}
        if await self._valid_slug(content) != agent.slug:
            raise invalid(f"$.settings.slug must stay {agent.slug}")
        return await self._push(agent.slug, content)

    async def archive(self, agent: StoredDefinition) -> None:
        """Let no new run find an agent."""
        await self._definitions.archive(agent.slug)

    async def _find(self, reference: str, version: int | None = None) -> StoredDefinition | None:
        if not _REFERENCE.fullmatch(reference):
            return None
        return await self._definitions.find(reference, version)

    async def _push(self, slug: str, content: JsonObject) -> StoredDefinition:
        with refusals():
            pushed = await self._definitions.push(slug, content)
        return await self.find(slug, pushed.version)

    async def _valid_slug(self, content: JsonObject) -> str:
        report = await report_of(content)
        if not report.valid:
            told = [_told(problem.file, problem.line, problem.message) for problem in report.errors]
            more = len(told) - _SHOWN_ERRORS
            also = f"; and {more} more" if more > 0 else ""
            raise invalid("; ".join(told[:_SHOWN_ERRORS]) + also)
        settings = content["settings"]
        assert isinstance(settings, Mapping)  # noqa: S101 - it is valid
        return str(settings["slug"])


async def report_of(content: JsonValue) -> Report:
    """Return what is wrong with a definition, whatever it is."""
    validation = await asyncio.to_thread(lambda: validate(read_wire(content)))
    return validation.report


def _told(file: str, line: int | None, message: str) -> str:
    return f"{file}: {message}" if line is None else f"{file}:{line}: {message}"
