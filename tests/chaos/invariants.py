"""What holds once all is quiet, whatever was killed, cut, frozen or filled before.

The ledger that processors keep outside of the queue is read into a side table; each rule is a query for what breaks it.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from agent_worker.db.connection import Database

SIDE_TABLES: LiteralString = """
    CREATE SCHEMA chaos;
    CREATE TABLE chaos.inserted (id uuid PRIMARY KEY);
    CREATE TABLE chaos.ledger (
      what text, at timestamptz, pid integer, task uuid, attempt integer, run text, key text
    );
    CREATE INDEX ON chaos.ledger (run, what);
    CREATE INDEX ON chaos.ledger (task, what);
    CREATE TABLE chaos.moves (task uuid, old text, new text);
    CREATE FUNCTION chaos.note_move() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      INSERT INTO chaos.moves VALUES (new.id, old.status, new.status);
      RETURN NULL;
    END $$;
    CREATE TRIGGER chaos_note_move AFTER UPDATE ON public.agent_task_requests FOR EACH ROW
      WHEN (old.status <> new.status OR old.response_payload IS DISTINCT FROM new.response_payload)
      EXECUTE FUNCTION chaos.note_move();
    CREATE VIEW chaos.runs AS
    SELECT s.run, s.task, s.attempt, s.pid, s.at AS began, coalesce(
        (SELECT e.at FROM chaos.ledger e WHERE e.run = s.run AND e.what = 'end'),
        (SELECT min(k.at) FROM chaos.ledger k WHERE k.pid = s.pid AND k.what = 'killed' AND k.at >= s.at),
        'infinity') AS ended
    FROM chaos.ledger s WHERE s.what = 'start';
    CREATE VIEW chaos.given_up AS
    SELECT task_id AS task, attempt, created_at AS at FROM public.agent_task_events
    WHERE data ->> 'code' = 'worker_lost';
"""

RULES: dict[str, LiteralString] = {
    "every inserted task is there": """
        SELECT i.id FROM chaos.inserted i LEFT JOIN public.agent_task_requests t USING (id) WHERE t.id IS NULL
    """,
    "an outcome is recorded once and stays as it is": """
        SELECT task, old, new FROM chaos.moves WHERE old IN ('completed', 'failed', 'cancelled')
    """,
    "every task has ended, with a response, and nobody holds one": """
        SELECT id, status, attempt, worker_id FROM public.agent_task_requests
        WHERE status NOT IN ('completed', 'failed', 'cancelled') OR response_payload IS NULL OR finished_at IS NULL
    """,
    "attempts stay within what is allowed": """
        SELECT id, attempt, max_attempts FROM public.agent_task_requests
        WHERE attempt > max_attempts OR attempt < 0 OR (status = 'completed' AND attempt = 0)
    """,
    "events are numbered from 1 without a gap": """
        SELECT task_id, array_agg(seq ORDER BY seq) FROM public.agent_task_events
        GROUP BY task_id HAVING min(seq) <> 1 OR max(seq) <> count(*)
    """,
    "a stream is closed at most once after its last attempt-start": """
        SELECT e.task_id, count(*) FROM public.agent_task_events e
        WHERE e.type IN ('finish', 'error') AND e.seq > coalesce(
          (SELECT max(s.seq) FROM public.agent_task_events s WHERE s.task_id = e.task_id AND s.type = 'attempt-start'), 0)
        GROUP BY e.task_id HAVING count(*) > 1
    """,
    "nothing is left of a task that is gone, and no question of one that has ended": """
        SELECT e.task_id, 'events' FROM public.agent_task_events e
        WHERE NOT EXISTS (SELECT FROM public.agent_task_requests t WHERE t.id = e.task_id)
        UNION ALL
        SELECT c.task_id, 'checkpoints' FROM agent_worker.checkpoints c
        WHERE NOT EXISTS (SELECT FROM public.agent_task_requests t WHERE t.id = c.task_id)
        UNION ALL
        SELECT h.task_id, 'question' FROM public.human_tasks h WHERE h.status = 'pending'
    """,
    "a step whose result is stored does not run again": """
        SELECT effect.task, effect.key, done.attempt, done.pid, done.at, effect.attempt, effect.pid, r.began, effect.at
        FROM chaos.ledger effect
        JOIN chaos.ledger done ON done.what = 'done' AND done.task = effect.task AND done.key = effect.key
        JOIN chaos.runs r ON r.run = effect.run
        WHERE effect.what = 'effect' AND r.began > done.at
          -- A worker that was asleep may wake up with a claim in its hands and begin; what it says is dropped.
          AND NOT EXISTS (
            SELECT FROM chaos.given_up g WHERE g.task = r.task AND g.attempt = r.attempt AND g.at < r.began)
          -- A claim lost in a crash: the worker read what is stored before another one had the task, and began late,
          -- for it had to connect anew in between.
          AND NOT EXISTS (
            SELECT FROM chaos.ledger c WHERE c.what = 'crash' AND r.pid <> done.pid
              AND c.at BETWEEN r.began - interval '15 s' AND r.began)
    """,
    # A claim is committed without waiting for the disk: a crash may take it back, and the task is given out again.
    "two workers run a task at once only when one of them was given up, or its claim was lost in a crash": """
        SELECT a.task, a.attempt, a.pid, a.began, a.ended, b.attempt, b.pid, b.began
        FROM chaos.runs a JOIN chaos.runs b ON b.task = a.task AND b.began > a.began AND b.began < a.ended
        WHERE NOT EXISTS (
            SELECT FROM chaos.given_up g
            WHERE g.task = a.task AND g.attempt = least(a.attempt, b.attempt) AND g.at < b.began + interval '0.2 s')
          AND NOT EXISTS (
            SELECT FROM chaos.ledger c
            WHERE c.what = 'crash' AND c.at BETWEEN a.began - interval '3 s' AND a.began + interval '3 s')
    """,
    "the recorded outcome is that of the last attempt": """
        SELECT t.id, t.attempt, r.attempt, w.pid, r.pid
        FROM public.agent_task_requests t
        LEFT JOIN chaos.runs r ON r.run = t.response_payload ->> 'run'
        LEFT JOIN agent_worker.workers w ON w.id = t.worker_id
        WHERE t.status = 'completed' AND t.kind = 'play' AND (
          r.run IS NULL OR r.attempt <> t.attempt OR r.pid IS DISTINCT FROM w.pid
          OR t.response_payload -> 'answer' IS DISTINCT FROM t.request_payload -> 'n'
          OR EXISTS (SELECT FROM chaos.runs later WHERE later.task = t.id AND later.attempt > t.attempt))
    """,
    "a task fails only for lost workers, and is cancelled only when somebody asked": """
        SELECT id, status, response_payload FROM public.agent_task_requests
        WHERE (status = 'failed' AND response_payload ->> 'code' NOT IN ('worker_lost', 'child_failed'))
           OR (status = 'cancelled' AND cancel_requested_at IS NULL)
    """,
}


async def prepare(db: Database) -> None:
    """Make the side tables in a database of the test's own; as a superuser."""
    async with db.connection() as conn:
        await conn.execute(SIDE_TABLES)


async def check(db: Database, inserted: Collection[UUID], ledger: Path | None = None) -> None:
    """Hold the database to every rule; all is quiet.

    Args:
        db: A prepared database, as a superuser.
        inserted: Tasks that somebody inserted and was told so.
        ledger: What processors noted.

    Raises:
        AssertionError: Names the broken rules, each with at most five examples.
    """
    notes = [json.loads(line) for line in ledger.read_text().splitlines()] if ledger else []
    await _fill_side_tables(db, inserted, notes)
    broken: dict[str, list[tuple[Any, ...]]] = {}
    for rule, query in RULES.items():
        if rows := await db.fetch_all(query):
            broken[f"{rule}: {len(rows)} times not"] = rows[:5]
    assert not broken, "\n".join([f"{rule}: {rows}" for rule, rows in broken.items()])


async def _fill_side_tables(db: Database, inserted: Collection[UUID], notes: list[dict[str, Any]]) -> None:
    async with db.connection() as conn:
        await conn.execute("TRUNCATE chaos.inserted, chaos.ledger")
        await conn.execute("INSERT INTO chaos.inserted SELECT unnest(%s::uuid[])", [list(inserted)])
        await conn.execute(
            "INSERT INTO chaos.ledger SELECT what, to_timestamp(at), pid, task, attempt, run, key "
            "FROM jsonb_to_recordset(%s) AS n "
            "(what text, at double precision, pid integer, task uuid, attempt integer, run text, key text)",
            [Jsonb(notes)],
        )
        await conn.execute("ANALYZE chaos.ledger")
