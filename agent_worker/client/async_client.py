"""The client, as coroutines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from uuid import UUID

from agent_worker.client.answering import Answering
from agent_worker.client.task_client import TaskClient
from agent_worker.client.workers import Workers
from agent_worker.domain.json import JsonObject


class AsyncClient(TaskClient):
    """Submit tasks, wait for them, follow their streams.

    Safe for any number of coroutines of one event loop. Connects with the first call; all waits share one listening
    connection, and everything else a small pool. An outage shorter than `patience_s` is ridden out.

    ```python
    async with AsyncClient.from_env() as client:
        result = await client.run({"prompt": "Say hello."}, kind="chat", wait_s=60)
        print(result.answer)
    ```

    Args:
        database_url: `postgresql://…` of a role that owns the tables, or of service_role.
        pool_size: Most connections besides the listening one.
        poll_s: Longest time a change goes unnoticed when notifications do not arrive.
        patience_s: How long calls try again while the database is away.

    Raises:
        ConfigurationError: `database_url` is malformed.
    """

    @cached_property
    def workers(self) -> Workers:
        """Runs pipelines and speaks their protocol."""
        return Workers(self, self._answer_run)

    async def _answer_run(self, agent: str | None, task_id: UUID, results: Sequence[JsonObject]) -> int:
        return await self._patiently(lambda: Answering(self._db).answer(agent, task_id, results))
