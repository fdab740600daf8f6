"""Answer runs of pipelines: of the agent that was named, and of no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from agent_worker.db.connection import Database
from agent_worker.db.continuing import Continuing
from agent_worker.db.definitions import Definitions
from agent_worker.db.tasks import Tasks
from agent_worker.domain.client_errors import TaskNotFound
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.names import PIPELINE


class Answering:
    """Answers runs with results of tools.

    Args:
        db: An open database.
    """

    def __init__(self, db: Database) -> None:
        self._tasks = Tasks(db)
        self._definitions = Definitions(db, PIPELINE)
        self._continuing = Continuing(db)

    async def answer(self, agent: str | None, task_id: UUID, results: Sequence[JsonObject]) -> int:
        """Answer a run, and return the event after which its next leg begins; see `Continuing.answer`.

        Args:
            agent: Slug or id of the definition that runs; None where that is known.
            task_id: The run.
            results: Each `{toolCallId, result | error}`.

        Raises:
            TaskNotFound: There is no such run of this agent.
            ResultsRefused, QuestionClosed, TaskRefused: As `Continuing.answer` says.
        """
        if agent is not None and not await self._runs(agent, task_id):
            raise TaskNotFound(f"there is no run {task_id} of {agent}")
        return await self._continuing.answer(task_id, results)

    async def _runs(self, agent: str, task_id: UUID) -> bool:
        """Tell whether a task runs this agent, which its request names or brings along."""
        record = await self._tasks.get(task_id)
        if record is None or record.kind != PIPELINE:
            return False
        payload = record.request_payload
        named, version = payload.get("agent"), payload.get("version")
        if named is None:
            return _slug(payload.get("definition")) == agent
        pinned = version if isinstance(version, int) else None  # a version is found though it is archived
        first = await self._definitions.find(str(named), pinned)
        second = await self._definitions.find(agent, pinned)
        return named == agent or (first is not None and second is not None and first.id == second.id)


def _slug(definition: JsonValue) -> str | None:
    settings = definition.get("settings") if isinstance(definition, Mapping) else None
    return str(settings.get("slug")) if isinstance(settings, Mapping) else None
