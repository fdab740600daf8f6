"""Runs of stored pipelines, through the eyes of whoever asks for them: row level security decides what is there."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from agent_worker.db.access.statements import Statements
from agent_worker.db.admission import storable_json
from agent_worker.domain.caller import Caller
from agent_worker.domain.json import JsonObject
from agent_worker.domain.task import TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a run stands.

    Attributes:
        agent: The slug or id of the definition, as the request named it; None for one that brought its own.
        version: The definition's, where the request names one.
        response: As in the task's row; empty until it has ended.
        cursor: Number of its last event; 0 when there is none.
    """

    status: TaskStatus
    agent: str | None
    version: int | None
    response: JsonObject
    cursor: int


class Runs:
    """Starts, shows and stops runs; `agent_worker.db.looking` follows them.

    Args:
        statements: Runs SQL as the caller.
    """

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def start(self, caller: Caller, run_id: UUID, payload: JsonObject) -> bool:
        """Insert a run; the caller is its user.

        Returns:
            False when a task with this id is there already, whoever's it is.

        Raises:
            StatementRefused: The caller may not, or the row breaks a rule of the table.
            TaskRefused: The payload cannot be stored; the message names the place.
        """
        params = {"id": run_id, "payload": storable_json("request_payload", payload)}
        return bool(await self._statements.rows(caller, "start_run", params))

    async def is_same(self, caller: Caller, run_id: UUID, payload: JsonObject) -> bool:
        """Tell whether a run asks for the same, versions aside; false for one that the caller does not see."""
        params = {"id": run_id, "payload": storable_json("request_payload", payload)}
        rows = await self._statements.rows(caller, "is_same_run", params, is_read_only=True)
        return bool(rows and rows[0][0])

    async def look(self, caller: Caller, run_id: UUID) -> Run | None:
        """Return how a run stands; None when the caller sees none of this id."""
        rows = await self._statements.rows(caller, "look_at_run", {"id": run_id}, is_read_only=True)
        if not rows:
            return None
        ((status, agent, version, response, cursor),) = rows
        return Run(
            status=TaskStatus(status),
            agent=agent,
            version=version if isinstance(version, int) else None,
            response={} if response is None else response,
            cursor=cursor,
        )

    async def cancel(self, caller: Caller, run_id: UUID) -> TaskStatus | None:
        """Ask for a stop, and return the status now; None when the caller sees no such run.

        `cancelled`: it is stopped; `processing`: its worker stops it; another final one: it had ended before.
        """
        rows = await self._statements.rows(caller, "cancel_run", {"id": run_id})
        return TaskStatus(rows[0][0]) if rows else None
