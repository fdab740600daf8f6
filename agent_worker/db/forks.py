"""Tasks that go on from what another task has finished."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID, uuid4

from agent_worker.db.admission import refusals, storable_json
from agent_worker.db.connection import Database
from agent_worker.db.queries import sql
from agent_worker.db.queue import load_checkpoints
from agent_worker.domain.client_errors import TaskNotFound
from agent_worker.domain.json import JsonObject
from agent_worker.domain.replay import Checkpoint


class Forks:
    """Reads what tasks remember, and gives it to others."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def checkpoints(self, task_id: UUID) -> dict[str, Checkpoint]:
        """Return everything a task remembers, by key."""
        return await load_checkpoints(self._db, task_id)

    async def shown_blocks(self, task_id: UUID) -> set[str]:
        """Return the ids of the blocks whose start the task's stream tells."""
        return {row[0] for row in await self._db.fetch_all(sql("shown_blocks"), {"task_id": task_id})}

    async def insert(
        self, task_id: UUID, *, payload: JsonObject, keys: Collection[str], note_key: str, note: JsonObject
    ) -> UUID:
        """Insert a task like another one, with copies of some of its checkpoints; all of it or nothing.

        Args:
            task_id: The other one; it stays as it is, whatever its status.
            payload: Of the new task.
            keys: Which checkpoints to copy; those without a value yet are left out.
            note_key: Under which the new task finds `note` by `ctx.checkpoint`.
            note: What it should know besides.

        Returns:
            The new task's id.

        Raises:
            TaskNotFound: There is no such task.
            TaskRefused: The payload cannot be stored.
        """
        fork_id = uuid4()
        params = {
            "task_id": task_id,
            "fork_id": fork_id,
            "payload": storable_json("request_payload", payload),
            "keys": list(keys),
            "note_key": note_key,
            "note": storable_json("note", note),
        }
        with refusals():
            is_there = await self._db.fetch_value(sql("fork_task"), params)
        if not is_there:
            raise TaskNotFound(f"there is no task {task_id}")
        return fork_id
