"""Why a statement was not run, or was undone.

What PostgreSQL itself refuses is `StatementRefused`, in its own words; the others are ours, found before it was asked
or while its answer was looked at.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from agent_worker.domain.errors import AgentWorkerError


class AccessRefused(AgentWorkerError):
    """Root of what this room says no with.

    Not frozen: Python writes the traceback into an exception while it is raised.
    """

    def __str__(self) -> str:
        return (type(self).__doc__ or "").partition("\n")[0]


class StatementRefused(AccessRefused):
    """PostgreSQL says no.

    Args:
        sqlstate: Its code.
        message: Its words; never the statement.
        details: What it adds to them.
        hint: What it advises.
    """

    def __init__(
        self, sqlstate: str, message: str, *, details: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.details = details
        self.hint = hint

    def __str__(self) -> str:
        return self.message


@dataclass(eq=False)
class UnknownSchema(AccessRefused):
    """The schema is not exposed."""

    schema: str
    exposed: tuple[str, ...]


@dataclass(eq=False)
class UnknownTable(AccessRefused):
    """No table or view of that name; `similar` is the nearest name there is."""

    schema: str
    table: str
    similar: str | None = None


@dataclass(eq=False)
class UnknownColumn(AccessRefused):
    """A body has a member that is no column."""

    table: str
    column: str


@dataclass(eq=False)
class UnknownFunction(AccessRefused):
    """No function takes these arguments; `similar` is the nearest signature or name."""

    schema: str
    function: str
    arguments: tuple[str, ...]
    had_body: bool
    similar: str | None = None


@dataclass(eq=False)
class AmbiguousFunction(AccessRefused):
    """Several functions take these arguments."""

    signatures: tuple[str, ...]


@dataclass(eq=False)
class NoRelationship(AccessRefused):
    """No foreign key leads from one to the other."""

    schema: str
    origin: str
    target: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class Path:
    """One of several foreign keys that lead to a relation."""

    constraint: str
    origin: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    is_to_one: bool


@dataclass(eq=False)
class AmbiguousRelationship(AccessRefused):
    """Several foreign keys lead from one to the other."""

    origin: str
    target: str
    paths: tuple[Path, ...]


@dataclass(eq=False)
class NotEmbedded(AccessRefused):
    """An order names a relation that is not in the select list."""

    relation: str


@dataclass(eq=False)
class OrderNotToOne(AccessRefused):
    """Rows cannot be ordered by a relation of which each may have several."""

    origin: str
    relation: str


@dataclass(eq=False)
class BadEmbedFilter(AccessRefused):
    """A relation can be compared with null and nothing else."""

    relation: str


@dataclass(eq=False)
class NotSupported(AccessRefused):
    """The protocol has it, we do not."""

    what: str


@dataclass(eq=False)
class NotSingle(AccessRefused):
    """One row was wanted."""

    rows: int


@dataclass(eq=False)
class TooManyAffected(AccessRefused):
    """More rows were touched than the caller allows; nothing has been changed."""

    rows: int


@dataclass(eq=False)
class AffectedUncountable(AccessRefused):
    """A limit on touched rows was given to a function that returns no set."""


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that is most like `name`, if one is like it at all."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return found[0] if found and found[0] != name else None
