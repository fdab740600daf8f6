"""Definitions that are kept by version, for tasks that run one by name instead of bringing it along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.json import JsonObject
from agent_worker.domain.records import Record


@dataclass(frozen=True, slots=True)
class StoredDefinition(Record):
    """One version of a definition.

    Attributes:
        id: The definition's, the same for all of its versions.
        slug: Its name among those of its kind.
        version: From 1; a version never changes.
        content: Of the kind `pipeline` `{settings, protocol, prompts, references}`.
        created_at: When the first version was pushed.
        updated_at: When this one was.
    """

    id: UUID
    slug: str
    version: int
    content: JsonObject
    created_at: datetime
    updated_at: datetime

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> StoredDefinition:
        """Return what `as_json` wrote."""
        return cls(
            id=UUID(written["id"]),
            slug=written["slug"],
            version=written["version"],
            content=written["content"],
            created_at=datetime.fromisoformat(written["created_at"]),
            updated_at=datetime.fromisoformat(written["updated_at"]),
        )


@dataclass(frozen=True, slots=True)
class DefinitionHead(Record):
    """A definition that is in use, without its content.

    Attributes:
        version: The newest.
        name: What it says of itself under `settings`, as are description and format; None where it says nothing.
        updated_at: When the newest version was pushed.
    """

    id: UUID
    slug: str
    version: int
    name: str | None
    description: str | None
    format: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push came to.

    Attributes:
        version: The newest one now.
        is_new: Whether the push made it; the same content again makes no new version.
    """

    id: UUID
    slug: str
    version: int
    is_new: bool


class UnknownDefinition(ProcessorError):
    """There is no such definition, or it has no such version; a task that names it cannot run.

    Args:
        kind: The task's.
        reference: The slug or id that was named.
        version: The version that was named, if one was.
    """

    def __init__(self, kind: str, reference: str, version: int | None = None) -> None:
        which = "" if version is None else f" in version {version}"
        super().__init__(
            f"There is no {kind} {reference!r}{which}.", code="unknown_definition", retryable=False
        )
