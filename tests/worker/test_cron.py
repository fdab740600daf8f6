"""A real worker fires schedules by itself, and costs next to nothing while none is due."""

from __future__ import annotations

from agent_worker.processors.echo import Echo
from tests.waiting import eventually
from tests.worker.conftest import Rows, StartWorker

INSERT = """
    INSERT INTO agent_worker.schedules (name, cron, kind, request_payload, next_fire_at)
    VALUES ('report', '@yearly', 'echo', '{"prompt": "due"}', now() - interval '400 days')
    RETURNING name
"""


async def test_a_schedule_written_while_workers_sleep_fires_at_once_and_once(
    start_worker: StartWorker, rows: Rows
) -> None:
    async def is_answered() -> bool:
        return bool(
            await rows.db.fetch_value(
                "SELECT count(*) FROM agent_task_requests WHERE response_payload ->> 'answer' = 'due'"
            )
        )

    async with start_worker(Echo()) as one, start_worker(Echo()) as two:
        for worker in (one, two):
            assert worker.cron.delay_after(await worker.cron.run_once()) == 30.0, "it sleeps until it is rung"
        await rows.db.fetch_value(INSERT)
        await eventually(is_answered, timeout_s=20.0)

    assert await rows.db.fetch_value("SELECT count(*) FROM agent_task_requests") == 1
