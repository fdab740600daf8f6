"""The workers of the fleet, as people look at them; `agent_worker.db.fleet` is how workers look at it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from agent_worker.db.connection import Database
from agent_worker.db.queries import sql
from agent_worker.domain.client_errors import WorkerNotFound
from agent_worker.domain.health import WorkerRow


class Workers:
    """What `agent-worker workers` does.

    Args:
        db: Where the fleet is.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def all(self) -> Sequence[WorkerRow]:
        """Return the living, and those that vanished in the last hour, by name."""
        rows = await self._db.fetch_all(sql("status_workers"))
        return [
            WorkerRow(worker_id, name, host, pid, tuple(kinds), *others)
            for worker_id, name, host, pid, kinds, *others in rows
        ]

    async def drain(self, name: str) -> UUID:
        """Have a living worker finish what it runs and leave; returns its id, at once.

        Raises:
            WorkerNotFound: No living worker has this name.
        """
        for worker in await self.all():
            if worker.name == name and worker.is_alive:
                await self._db.fetch_value(sql("drain_worker"), {"id": worker.id})
                return worker.id
        raise WorkerNotFound(f"no living worker is called {name} · `agent-worker workers list` shows all")
