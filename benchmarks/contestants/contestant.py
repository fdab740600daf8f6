"""What the harness asks of a queue that takes part."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import LiteralString, Protocol

import psycopg

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a worker process shall do.

    Attributes:
        handler: noop, nap, stamp or hang (see `tally`); also the kind (task name, entrypoint …) of the tasks.
        concurrency: Most tasks at once; None lets the contestant choose what suits it best.
        seconds: How long a handler that waits takes.
        total: How many tasks there are, 0 if that is open.
        lease_s: Seconds of silence after which a worker counts as dead; None means the contestant's default.
    """

    handler: str
    concurrency: int | None = None
    seconds: float = 0.0
    total: int = 0
    lease_s: float | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A program to start: its arguments, and what is added to the environment."""

    argv: Sequence[str]
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_library(cls, name: str, url: str) -> Command:
        """Our process around the library of the contestant `name`; what it shall do is said by the environment."""
        return cls([sys.executable, "-m", "benchmarks.work", name], {"DATABASE_URL": url})


class Contestant(Protocol):
    """A queue, driven through its documented parts.

    Attributes:
        name: In tables; unique.
        keeps: What is left in the database of a task that succeeded: "result", "row", "log" or "nothing".
        is_queue: False for a bound that is measured, but is nothing to use.
        lease_s: Documented seconds until a killed worker's tasks run elsewhere by themselves; None means never.
    """

    name: str
    keeps: str
    is_queue: bool
    lease_s: float | None

    @property
    def version(self) -> str:
        """The version that is measured, or a reason in parentheses why the contestant cannot take part."""
        ...

    def settings(self) -> str:
        """Describe the settings in one line."""
        ...

    def install(self, url: str) -> None:
        """Make the schema in an empty database."""
        ...

    def fill(self, url: str, handler: str, count: int) -> None:
        """Insert `count` tasks the quickest documented way, with payloads {"seq": 1 …}; nothing is running."""
        ...

    def insert(self, handler: str, seq: str) -> str:
        """Return the documented way to insert one task from SQL.

        Args:
            handler: The task's kind.
            seq: SQL expression of the task's number: a digit string, or a variable of pgbench.
        """
        ...

    def unfinished(self, conn: Connection) -> int:
        """Count the tasks that are not recorded as finished, by SQL."""
        ...

    def add_history(self, conn: Connection, count: int) -> bool:
        """Insert tasks that finished long ago; false when nothing of a finished task stays where the queue looks."""
        ...

    def command(self, url: str, load: Load) -> Command:
        """Return how to start one worker process."""
        ...


def fill_by(statement: LiteralString, url: str, handler: str, count: int) -> None:
    """Run the statement that inserts `count` tasks for `handler`."""
    with psycopg.connect(url) as conn:
        conn.execute(statement, {"handler": handler, "count": count})


def count_by(statement: LiteralString, conn: Connection) -> int:
    """Return the one number that a statement selects."""
    row = conn.execute(statement).fetchone()
    assert row is not None
    return int(str(row[0]))
