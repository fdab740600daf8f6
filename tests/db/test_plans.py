"""History is free: with 100,000 finished tasks beside them, claim and rescue read their own index and little else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from agent_worker.db.queries import sql
from agent_worker.domain.lanes import NOBODY
from agent_worker.testing.postgres import TestDatabases

FINISHED = 100_000

FILL = """
    INSERT INTO public.agent_task_requests (
      kind, status, worker_id, attempt, response_payload, started_at, finished_at, priority
    )
    SELECT 'echo', CASE WHEN n %% 10 = 0 THEN 'failed' ELSE 'completed' END, %(worker_id)s, 1, '{"answer": "x"}',
           now(), now() - make_interval(secs => n), n %% 5
    FROM generate_series(1, %(finished)s) n
"""

CLAIM = sql("claim")
RESCUE = "SELECT * FROM agent_worker.rescue(100)"
STAGE = "SELECT * FROM agent_worker.stage(100)"
UNKNOWN = "SELECT * FROM agent_worker.fail_unknown_kinds(0, 100)"
PRUNE = "SELECT agent_worker.prune(3600, 100)"
CANCELS = "SELECT agent_worker.cancel_requests(%(worker_id)s, array[%(held)s::uuid])"
BACKLOG = "SELECT agent_worker.backlog('{echo}', 100)"
FINISH = """
    SELECT agent_worker.finish(%(worker_id)s, array[%(held)s], '{1}', '{completed}', array['{}']::jsonb[])
"""

PIECE = 1_000
ENDED = sql("find_ended")

WORKER_ID, HELD = uuid4(), uuid4()

PARAMS: dict[str, object] = {
    "worker_id": WORKER_ID,
    "held": HELD,
    "kinds": ["echo", "chat"],
    "priorities": [0, 0],
    "low_enterprises": ["", ""],
    "low_users": [NOBODY, NOBODY],
    "low_seqs": [0, 0],
    "high_enterprises": ["~", "~"],
    "high_users": [NOBODY, NOBODY],
    "high_seqs": [0, 0],
    "quotas": [10, 10],
    "limit": 10,
    "status": "failed",
    "kind": None,
    "code": None,
    "until": "infinity",
    "after_at": None,
    "after_id": UUID(int=0),
    "piece": PIECE,
}
"""What the statements name; a claim looks into two lanes."""

Conn = psycopg.Connection[tuple[Any, ...]]


class Explained:
    """A session whose statements are explained as they run, those inside functions too."""

    def __init__(self, url: str) -> None:
        self.conn: Conn = psycopg.connect(url, autocommit=True)
        self._notices: list[str] = []
        self.conn.add_notice_handler(lambda notice: self._notices.append(notice.message_primary or ""))
        self.conn.execute("LOAD 'auto_explain'")
        for setting, value in {
            "auto_explain.log_level": "notice",
            "auto_explain.log_nested_statements": "on",
            "auto_explain.log_analyze": "on",
            "auto_explain.log_buffers": "on",
            "auto_explain.log_timing": "off",
            "auto_explain.log_format": "json",
        }.items():
            self.conn.execute("SELECT set_config(%s, %s, false)", [setting, value])

    def run(self, query: str, **params: object) -> list[dict[str, Any]]:
        """Return the plans of all statements that ran because of `query`."""
        self._notices.clear()
        self.conn.execute("SET auto_explain.log_min_duration = 0")
        self.conn.execute(query.encode(), {**PARAMS, **params})
        self.conn.execute("SET auto_explain.log_min_duration = -1")
        plans = [notice[notice.index("{") :] for notice in self._notices if "plan:" in notice]
        return [json.loads(plan)["Plan"] for plan in plans]


def nodes(plans: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for plan in plans:
        yield plan
        yield from nodes(plan.get("Plans", []))


def indexes(plans: list[dict[str, Any]]) -> set[str]:
    """Return the indexes that were looked into."""
    return {
        node["Index Name"]
        for node in nodes(plans)
        if "Index Name" in node and node.get("Actual Loops", 1) > 0
    }


def full_scans(plans: list[dict[str, Any]]) -> list[str]:
    """Return the large tables that were read from end to end."""
    names = {"agent_task_requests", "agent_task_events"}
    return [
        node["Relation Name"]
        for node in nodes(plans)
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in names and node["Actual Loops"] > 0
    ]


def pages(plans: list[dict[str, Any]]) -> int:
    """Return how many pages, in memory or on disk, were touched by the outermost statement."""
    touched: list[int] = [plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans]
    return max(touched)


def fill(conn: Conn, finished: int) -> None:
    conn.execute("ALTER TABLE public.agent_task_requests DISABLE TRIGGER USER")
    conn.execute(FILL, {"finished": finished, "worker_id": WORKER_ID})
    conn.execute("ALTER TABLE public.agent_task_requests ENABLE TRIGGER USER")


def add_work(conn: Conn) -> None:
    """Add tasks that wait, are scheduled, are held by a dead worker, and are of a kind nobody knows."""
    for insert in (
        "INSERT INTO public.agent_task_requests (kind) SELECT 'echo' FROM generate_series(1, 100)",
        "INSERT INTO public.agent_task_requests (kind) SELECT 'unheard-of' FROM generate_series(1, 20)",
        "INSERT INTO public.agent_task_requests (kind, run_at) SELECT 'echo', '2030-01-01' FROM generate_series(1, 20)",
        "UPDATE public.agent_task_requests SET run_at = now() WHERE run_at IS NOT NULL",
        "INSERT INTO agent_worker.kinds (kind) VALUES ('echo') ON CONFLICT DO NOTHING",
    ):
        conn.execute(insert)
    conn.execute(
        "INSERT INTO public.agent_task_requests (id, kind, status, worker_id, attempt) "
        "SELECT coalesce(id, gen_random_uuid()), 'echo', 'processing', %s, 1 "
        "FROM generate_series(1, 20) n LEFT JOIN (VALUES (1, %s)) held (n, id) USING (n)",
        [WORKER_ID, HELD],
    )


@pytest.fixture(scope="module")
def history(databases: TestDatabases) -> Iterator[str]:
    """A database with a long history, analysed."""
    with databases.migrated() as url:
        with psycopg.connect(url, autocommit=True) as conn:
            fill(conn, FINISHED)
            add_work(conn)
            conn.execute("VACUUM ANALYZE")
        yield url


@pytest.fixture
def explained(history: str) -> Iterator[Explained]:
    session = Explained(history)
    yield session
    session.conn.close()


@pytest.mark.parametrize(
    ("query", "index", "at_most"),
    [
        (CLAIM, "agent_task_requests_claim_idx", 500),
        (RESCUE, "agent_task_requests_held_idx", 1_000),
        (STAGE, "agent_task_requests_run_at_idx", 500),
        (UNKNOWN, "agent_task_requests_claim_idx", 1_000),
        (PRUNE, "agent_task_requests_finished_idx", 3_000),
        (CANCELS, "agent_task_requests_pkey", 100),
        (BACKLOG, "agent_task_requests_claim_idx", 500),
        (FINISH, "agent_task_requests_pkey", 200),
    ],
    ids=["claim", "rescue", "stage", "unknown", "prune", "cancels", "backlog", "finish"],
)
def test_a_long_history_does_not_slow_the_queue(
    explained: Explained, query: str, index: str, at_most: int
) -> None:
    for _ in range(2):  # the first run of a session reads the catalogues as well
        with explained.conn.transaction(force_rollback=True):
            plans = explained.run(query)

    assert index in indexes(plans)
    assert full_scans(plans) == []
    assert pages(plans) <= at_most


def test_looking_for_work_where_there_is_none_reads_a_handful_of_pages(explained: Explained) -> None:
    for _ in range(2):
        plans = explained.run(CLAIM, kinds=["chat", "chat"])

    assert pages(plans) <= 12


def test_each_piece_of_a_redrive_reads_as_many_rows_as_it_may(explained: Explained) -> None:
    begin: tuple[Any, Any] = (None, UUID(int=0))
    for _ in range(3):
        plans = explained.run(ENDED, after_at=begin[0], after_id=begin[1])
        read = [
            node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            for node in nodes(plans)
            if node.get("Relation Name") == "agent_task_requests"
        ]
        assert "agent_task_requests_finished_idx" in indexes(plans)
        assert sum(read) <= PIECE + 2, "the row before, and the next one, which may tie"
        params = {**PARAMS, "after_at": begin[0], "after_id": begin[1]}
        begin = explained.conn.execute(ENDED, params).fetchall()[0][3:5]


@pytest.mark.parametrize(
    ("query", "index"),
    [(CLAIM, "agent_task_requests_claim_idx"), (RESCUE, "agent_task_requests_held_idx")],
    ids=["claim", "rescue"],
)
def test_a_plan_made_while_the_table_was_empty_still_serves_when_it_is_full(
    databases: TestDatabases, query: str, index: str
) -> None:
    with databases.migrated() as url:
        session = Explained(url)
        for _ in range(10):  # after five runs a plan may be kept for good
            session.conn.execute(query.encode(), PARAMS)
        with psycopg.connect(url, autocommit=True) as conn:
            fill(conn, 5_000)
            add_work(conn)

        plans = session.run(query)
        session.conn.close()

    assert index in indexes(plans)
    assert full_scans(plans) == []


BATCH = 300
LEASES = "%(worker_id)s, %(ids)s, array_fill(1, array[300])"
WRITES = {
    "append_events": f"SELECT agent_worker.append_events({LEASES}, array_fill(1, array[300]), "
    "array_fill('x'::text, array[300]), array_fill('{}'::jsonb, array[300]))",
    "record_steps": f"SELECT agent_worker.record_steps({LEASES}, array_fill(1, array[300]), "
    "array_fill('x'::text, array[300]), array_fill('{}'::jsonb, array[300]), "
    "%(ids)s, array_fill(1, array[300]), array_fill('k'::text, array[300]), array_fill('step'::text, array[300]), "
    "array_fill('{}'::jsonb, array[300]))",
    "report_progress": f"SELECT agent_worker.report_progress({LEASES}, array_fill('{{}}'::jsonb, array[300]))",
    "finish": f"SELECT agent_worker.finish({LEASES}, array_fill('completed'::text, array[300]), "
    "array_fill('{}'::jsonb, array[300]))",
    "retry": f"SELECT agent_worker.retry({LEASES}, array_fill(1.5::float8, array[300]))",
    "release": f"SELECT agent_worker.release({LEASES})",
}


@pytest.mark.parametrize("write", WRITES)
def test_a_batch_is_found_by_its_ids_though_the_table_was_never_analysed(
    databases: TestDatabases, write: str
) -> None:
    with databases.migrated() as url:
        session = Explained(url)
        session.conn.execute(
            "INSERT INTO public.agent_task_requests (kind) SELECT 'echo' FROM generate_series(1, 3000)"
        )
        claimed = session.conn.execute(
            CLAIM.encode(), {**PARAMS, "limit": BATCH, "quotas": [BATCH, BATCH]}
        ).fetchall()
        plans = session.run(WRITES[write], ids=sorted(row[0] for row in claimed))
        session.conn.close()

    read = [
        node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0)
        for node in nodes(plans)
        if node.get("Relation Name") == "agent_task_requests"
    ]
    assert len(claimed) == BATCH
    assert max(read) <= 2 * BATCH, "each row once or twice, not each held row for each id"
    assert not any(node.get("Rows Removed by Join Filter") for node in nodes(plans))
