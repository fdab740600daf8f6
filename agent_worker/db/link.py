"""What one worker needs of the way to its database, whichever way that is.

There are two: a PostgreSQL connection (`PostgresLink`), and the project's HTTP API (`agent_worker.db.rest_link`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Beat
from agent_worker.db.listen import Listener
from agent_worker.db.pulse import PostgresPulse
from agent_worker.db.transport import Transport

CHANNEL = "agent_worker"
"""Says `task KIND` (new tasks have come), `watch WORKER` (which looks out for new tasks no longer), `look` (limits changed),
`cancel UUID`, `drain WORKER` and `schedule`."""


class Pulse(Protocol):
    """Says that one worker lives; blocking, for use from a thread, and with a connection of its own."""

    def beat(self, in_flight: int) -> Beat:
        """Say that the worker lives.

        Returns:
            What the worker should know.

        Raises:
            AgentWorkerError: The beat did not arrive; the next one connects anew.
        """
        ...

    def close(self) -> None:
        """Disconnect; twice is fine."""
        ...


class Ears(Protocol):
    """Hears what is new for as long as it runs. What it hears is a hint to look, never the news itself."""

    @property
    def connected(self) -> bool:
        """Whether hints arrive, as far as anybody knows."""
        ...

    async def start(self) -> None:
        """Begin to connect in the background; twice is fine."""
        ...

    async def stop(self) -> None:
        """Disconnect; twice is fine, unstarted is fine. Never waits for the server."""
        ...


class Link(Protocol):
    """One worker's way to its database."""

    @property
    def transport(self) -> Transport:
        """Calls the SQL functions."""
        ...

    @property
    def in_use(self) -> int:
        """Calls under way, or connections handed out, at this moment."""
        ...

    def pulse(self, worker_id: UUID) -> Pulse:
        """Return what the heartbeat of one worker beats with."""
        ...

    def ears(self, *, on_notify: Callable[[str, str], None], on_up: Callable[[], None]) -> Ears:
        """Return what hears of new work; see `Listener` for the two callbacks."""
        ...


class PostgresLink:
    """The way of a PostgreSQL connection: two for work, one to listen, one for the heartbeat.

    Args:
        db: An open database; the caller closes it.
    """

    def __init__(self, db: Database) -> None:
        self.transport = db

    @property
    def in_use(self) -> int:
        """Pooled connections handed out at this moment."""
        return self.transport.in_use

    def pulse(self, worker_id: UUID) -> PostgresPulse:
        """Return a heartbeat's connection, which is made with the first beat."""
        return PostgresPulse(self.transport.conninfo, worker_id)

    def ears(self, *, on_notify: Callable[[str, str], None], on_up: Callable[[], None]) -> Listener:
        """Return a listener, whose session can keep watch as well."""
        return Listener(self.transport.conninfo, [CHANNEL], on_notify=on_notify, on_up=on_up)
