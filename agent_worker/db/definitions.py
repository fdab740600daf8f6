"""Definitions by version: pushed by people and tools, found by workers."""

from __future__ import annotations

import re
from datetime import datetime

from agent_worker.db.admission import storable_json, storable_text
from agent_worker.db.transport import Transport
from agent_worker.domain.client_errors import DefinitionRefused, TaskRefused
from agent_worker.domain.definitions import DefinitionHead, Pushed, StoredDefinition
from agent_worker.domain.errors import ValueRefused
from agent_worker.domain.json import JsonObject

MAX_VERSION = 2**31 - 1

_CONSTRAINT = re.compile(r'violates check constraint "(.+)"')


class Definitions:
    """The definitions of one kind of task.

    A reference is a slug or an id; both mean the same in every call.

    Args:
        transport: The way to the database.
        kind: Of the tasks that run them, such as `pipeline`.

    Example:
        ```python
        definitions = Definitions(db, "pipeline")
        pushed = await definitions.push("summarise", read_folder(Path("examples/pipelines/summarise")).as_json())
        found = await definitions.find("summarise", pushed.version)
        ```
    """

    def __init__(self, transport: Transport, kind: str) -> None:
        self._transport = transport
        self._kind = kind

    async def push(self, slug: str, content: JsonObject) -> Pushed:
        """Store content as the slug's next version, unless the newest one is the same; an archived slug is in use again.

        Nothing is checked here but that it can be stored; who pushes validates.

        Raises:
            DefinitionRefused: The slug is none, or the content is too large or no JSON.
        """
        try:
            params = {"slug": storable_text("slug", slug), "content": storable_json("content", content)}
            (row,) = await self._transport.call("push_definition", {"kind": self._kind, **params})
        except TaskRefused as error:
            raise DefinitionRefused(str(error)) from error
        except ValueRefused as error:
            raise DefinitionRefused(_rule(error)) from error
        return Pushed(*row)

    async def find(self, reference: str, version: int | None = None) -> StoredDefinition | None:
        """Return one version, the newest when none is named.

        Returns:
            None when there is none; of an archived definition the versions are found that are named.
        """
        if not _can_be(reference) or (version is not None and not 1 <= version <= MAX_VERSION):
            return None
        rows = await self._transport.call(
            "find_definition", {"kind": self._kind, "reference": reference, "version": version}
        )
        return StoredDefinition(*rows[0]) if rows else None

    async def heads(self) -> list[DefinitionHead]:
        """Return what is in use, by slug, without contents."""
        rows = await self._transport.call("list_definitions", {"kind": self._kind})
        return [DefinitionHead(*row) for row in rows]

    async def versions(self, reference: str) -> list[tuple[int, datetime]]:
        """Return each version with the time when it was pushed, newest first; nothing when there is no such definition."""
        if not _can_be(reference):
            return []
        rows = await self._transport.call("list_versions", {"kind": self._kind, "reference": reference})
        return [(version, created_at) for version, created_at in rows]

    async def archive(self, reference: str) -> bool:
        """Let no new task find a definition by its name alone; versions that are named are found as before.

        Returns:
            False when there is none in use.
        """
        if not _can_be(reference):
            return False
        rows = await self._transport.call("archive_definition", {"kind": self._kind, "reference": reference})
        return bool(rows[0][0])


def _can_be(reference: str) -> bool:
    """Tell whether PostgreSQL could hold such a text at all."""
    try:
        storable_text("reference", reference)
    except TaskRefused:
        return False
    return True


def _rule(error: ValueRefused) -> str:
    """Return the broken rule: the constraint's name, which is a sentence, or PostgreSQL's words."""
    match = _CONSTRAINT.search(str(error))
    return match[1] if match else str(error)
