"""Tasks as clients and the command line use them, on real tables."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.queries import sql
from agent_worker.db.questions import Questions
from agent_worker.db.tasks import EVENTS_PER_PAGE, TaskFilter, Tasks
from agent_worker.domain.client_errors import DuplicateTask, QuestionClosed, TaskNotFound, TaskRefused
from agent_worker.domain.events import Event
from agent_worker.domain.records import NewTask, TaskRow
from agent_worker.domain.task import TaskStatus
from tests.client.by_hand import ByHand

HELLO = NewTask(request_payload={"prompt": "Hello"})


@pytest.fixture
def tasks(db: Database) -> Tasks:
    return Tasks(db)


@pytest.fixture
def questions(db: Database) -> Questions:
    return Questions(db)


@pytest.fixture
def worker(db: Database) -> ByHand:
    return ByHand(db)


class TestSubmit:
    async def test_a_task_has_every_column_it_was_given(self, tasks: Tasks) -> None:
        run_at = datetime.now(UTC) + timedelta(hours=1)
        new = NewTask(
            id=uuid4(),
            kind="shout",
            request_payload={"prompt": "Grüße 🦉", "n": [1, 2.5, None, True]},
            user_id=uuid4(),
            enterprise_id="acme",
            priority=9,
            run_at=run_at,
            max_attempts=7,
            timeout_s=90,
            dedupe_key="once",
        )
        task_id = await tasks.submit(new)
        record = await tasks.get(task_id)
        assert record is not None
        assert task_id == new.id
        for column in new.__dataclass_fields__:
            assert getattr(record, column) == getattr(new, column), column
        assert (record.status, record.attempt, record.response_payload) == (TaskStatus.PENDING, 0, None)

    async def test_a_bare_task_takes_the_tables_defaults(self, tasks: Tasks) -> None:
        record = await tasks.get(await tasks.submit(NewTask()))
        assert record is not None
        assert (record.kind, record.request_payload, record.priority, record.max_attempts) == (
            "chat",
            {},
            0,
            3,
        )
        assert (record.user_id, record.timeout_s, record.run_at, record.dedupe_key) == (
            None,
            None,
            None,
            None,
        )

    async def test_many_are_claimed_in_the_order_they_were_submitted(
        self, tasks: Tasks, worker: ByHand
    ) -> None:
        ids = await tasks.submit_many([NewTask(request_payload={"n": n}) for n in range(50)])
        assert [(await worker.claim()).id for _ in range(50)] == ids

    async def test_none_of_many_is_inserted_when_one_is_refused(self, tasks: Tasks) -> None:
        with pytest.raises(TaskRefused):
            await tasks.submit_many([HELLO, NewTask(priority=10)])
        assert (await tasks.list_newest(TaskFilter())).rows == ()

    async def test_no_tasks_at_all_are_fine(self, tasks: Tasks) -> None:
        assert await tasks.submit_many([]) == []

    @pytest.mark.parametrize(
        ("task", "sentence"),
        [
            (NewTask(priority=10), "priority must be 0 to 9"),
            (NewTask(kind=""), "kind must have 1 to 64 characters"),
            (NewTask(max_attempts=26), "max_attempts must be 1 to 25"),
            (NewTask(timeout_s=0), "timeout_s must be 1 to 86400 seconds"),
            (NewTask(dedupe_key="k" * 513), "dedupe_key must have 1 to 512 characters"),
            (NewTask(priority=40_000), "smallint out of range"),
            (
                NewTask(request_payload=["Hello"]),  # type: ignore[arg-type]  # what a careless caller sends
                'request_payload must be a JSON object, not a JSON array · Send an object such as {"prompt": "Hello"}.',
            ),
            (
                NewTask(run_at=datetime(2999, 1, 1, tzinfo=UTC)),
                "run_at lies more than 10 years ahead · Leave run_at out to run the task now.",
            ),
            (
                NewTask(run_at=datetime(2026, 1, 1)),  # noqa: DTZ001 - the mistake
                "run_at has no time zone · write datetime.now(UTC) + timedelta(…)",
            ),
            (
                NewTask(request_payload={"messages": [{"text": "a\x00b"}]}),
                "request_payload.messages[0].text holds a NUL character · PostgreSQL cannot store one; remove it",
            ),
            (
                NewTask(dedupe_key="a\x00b"),
                "dedupe_key holds a NUL character · PostgreSQL cannot store one; remove it",
            ),
            (NewTask(kind="\ud800"), "kind is no Unicode text: surrogates not allowed"),
            (
                NewTask(request_payload={"n": float("nan")}),
                "request_payload is no JSON: Out of range float values are not JSON compliant",
            ),
            (
                NewTask(request_payload={"n": {1}}),  # type: ignore[dict-item]  # no JSON
                "request_payload is no JSON: Object of type set is not JSON serializable",
            ),
        ],
    )
    async def test_a_refusal_names_the_rule(self, tasks: Tasks, task: NewTask, sentence: str) -> None:
        with pytest.raises(TaskRefused) as refused:
            await tasks.submit(task)
        assert str(refused.value) == sentence

    async def test_a_payload_past_16_mib_is_refused(self, tasks: Tasks) -> None:
        noise = secrets.token_urlsafe(13 * 2**20)  # 17 MiB that do not compress
        with pytest.raises(TaskRefused, match="the limit is 16 MiB"):
            await tasks.submit(NewTask(request_payload={"prompt": noise}))


class TestDuplicates:
    @pytest.mark.parametrize("user_id", [None, uuid4()])
    async def test_the_error_names_the_unfinished_task(self, tasks: Tasks, user_id: UUID | None) -> None:
        new = NewTask(dedupe_key="once", user_id=user_id)
        first = await tasks.submit(new)
        with pytest.raises(DuplicateTask, match=str(first)) as duplicate:
            await tasks.submit(new)
        assert duplicate.value.task_id == first

    async def test_another_user_kind_or_a_finished_task_is_no_duplicate(self, tasks: Tasks) -> None:
        first = await tasks.submit(NewTask(dedupe_key="once"))
        await tasks.submit(NewTask(dedupe_key="once", kind="other"))
        await tasks.submit(NewTask(dedupe_key="once", user_id=uuid4()))
        await tasks.cancel([first])
        await tasks.submit(NewTask(dedupe_key="once"))

    async def test_an_id_in_use_is_a_duplicate_even_of_a_finished_task(self, tasks: Tasks) -> None:
        new = NewTask(id=uuid4())
        await tasks.cancel([await tasks.submit(new)])
        with pytest.raises(DuplicateTask, match="a task with this id exists") as duplicate:
            await tasks.submit(new)
        assert duplicate.value.task_id == new.id

    async def test_two_with_one_key_in_one_call_are_refused_together(self, tasks: Tasks) -> None:
        with pytest.raises(DuplicateTask) as duplicate:
            await tasks.submit_many([NewTask(dedupe_key="once"), NewTask(dedupe_key="once")])
        assert duplicate.value.task_id is None
        assert (await tasks.list_newest(TaskFilter())).rows == ()

    async def test_of_twenty_at_once_one_is_inserted_and_the_others_name_it(self, tasks: Tasks) -> None:
        new = NewTask(dedupe_key="once")
        done = await asyncio.gather(*(tasks.submit(new) for _ in range(20)), return_exceptions=True)
        (winner,) = [each for each in done if isinstance(each, UUID)]
        assert {each.task_id for each in done if isinstance(each, DuplicateTask)} == {winner}


class TestFind:
    async def test_a_unique_beginning_finds_the_task(self, tasks: Tasks) -> None:
        wanted = UUID("abcd1234-0000-4000-8000-000000000001")
        await tasks.submit_many(
            [NewTask(id=wanted), NewTask(id=UUID("abce0000-0000-4000-8000-000000000001"))]
        )
        for prefix in ("abcd", "ABCD12", " abcd1234-00 ", str(wanted)):
            assert await tasks.find_by_prefix(prefix) == wanted

    async def test_a_beginning_of_several_names_them(self, tasks: Tasks) -> None:
        ids = [UUID(f"abc{n}0000-0000-4000-8000-000000000001") for n in range(5)]
        await tasks.submit_many([NewTask(id=each) for each in ids])
        with pytest.raises(TaskNotFound, match=f"abc fits several tasks: {ids[0]}, .* and more · type more"):
            await tasks.find_by_prefix("abc")

    @pytest.mark.parametrize("prefix", ["ffff", "xyz", "", "12345678-1234-1234-1234-1234567890123"])
    async def test_what_is_no_task_is_said_plainly(self, tasks: Tasks, prefix: str) -> None:
        with pytest.raises(TaskNotFound):
            await tasks.find_by_prefix(prefix)

    async def test_the_primary_key_is_used(self, tasks: Tasks, db: Database) -> None:
        await tasks.submit_many([NewTask()] * 2_000)
        await analyze(db)
        plan = await explain(db, "find_task_ids", first=UUID(int=0), last=UUID(int=2**120), limit=4)
        assert "agent_task_requests_pkey" in plan
        assert "Seq Scan" not in plan

    async def test_an_unknown_task_is_none(self, tasks: Tasks) -> None:
        assert await tasks.get(uuid4()) is None
        assert await tasks.look(uuid4()) is None
        assert await tasks.follow(uuid4()) is None


class TestList:
    async def test_the_last_change_comes_first_whatever_the_state(self, tasks: Tasks, worker: ByHand) -> None:
        waiting, failed, processing, completed = await tasks.submit_many([HELLO] * 4)
        pending = await tasks.submit(NewTask(kind="other", priority=3))
        claimed = {task.id: task for task in [await worker.claim() for _ in range(4)]}
        await worker.ask(claimed[waiting])
        await worker.fail(claimed[failed], "no_luck", retryable=True)
        await worker.complete(claimed[completed], {"answer": "Hi"})
        scheduled = await tasks.submit(NewTask(run_at=datetime.now(UTC) + timedelta(hours=1)))
        rows = (await tasks.list_newest(TaskFilter())).rows
        assert [row.id for row in rows] == [scheduled, completed, failed, waiting, processing, pending]
        assert [row.updated_at for row in rows] == sorted((row.updated_at for row in rows), reverse=True)
        failure = rows[2]
        assert (failure.status, failure.code, failure.error) == (
            TaskStatus.FAILED,
            "no_luck",
            "It failed: no_luck.",
        )

    async def test_filters_join(self, tasks: Tasks, worker: ByHand) -> None:
        await tasks.submit_many(
            [NewTask(kind=kind, enterprise_id=tenant) for kind in ("a", "b") for tenant in ("acme", "zen")]
            * 2
        )
        for kind in ("a", "b"):
            await worker.complete(await worker.claim(kind), {})
        for chosen in (
            TaskFilter(kind="a"),
            TaskFilter(tenant="acme"),
            TaskFilter(statuses=(TaskStatus.COMPLETED,)),
            TaskFilter(statuses=(TaskStatus.PENDING, TaskStatus.COMPLETED), kind="b", tenant="zen"),
            TaskFilter(kind="a", tenant="acme", statuses=(TaskStatus.FAILED,)),
        ):
            everything = (await tasks.list_newest(TaskFilter())).rows
            expected = {row.id for row in everything if _passes(row, chosen)}
            assert {row.id for row in (await tasks.list_newest(chosen)).rows} == expected

    async def test_a_code_chooses_among_those_that_failed_or_were_cancelled(
        self, tasks: Tasks, worker: ByHand
    ) -> None:
        ids = await tasks.submit_many([HELLO] * 5)
        await worker.fail(await worker.claim(), "no_luck", retryable=True)
        await worker.fail(await worker.claim(), "bad_luck", retryable=True)
        await worker.complete(await worker.claim(), {"code": "no_luck"})
        await tasks.cancel([ids[3]])

        for code, found in (("no_luck", ids[:1]), ("cancelled", ids[3:4]), ("unheard", [])):
            assert [row.id for row in (await tasks.list_newest(TaskFilter(code=code))).rows] == found
        pending = TaskFilter(code="no_luck", statuses=(TaskStatus.PENDING, TaskStatus.COMPLETED))
        assert (await tasks.list_newest(pending)).rows == ()

    async def test_since_means_changed_since(self, tasks: Tasks, worker: ByHand, db: Database) -> None:
        old, finished_now, fresh = await tasks.submit_many([HELLO] * 3)
        await db.fetch_value(
            "UPDATE agent_task_requests SET created_at = now() - interval '2 h', updated_at = now() - interval '2 h' "
            "WHERE id = ANY (%(ids)s) RETURNING id",
            {"ids": [old, finished_now]},
        )
        first = await worker.claim()
        second = await worker.claim()
        await worker.complete(second, {})
        await db.fetch_value(
            "UPDATE agent_task_requests SET updated_at = now() - interval '2 h' WHERE id = %(id)s RETURNING id",
            {"id": first.id},
        )
        rows = (await tasks.list_newest(TaskFilter(since=datetime.now(UTC) - timedelta(hours=1)))).rows
        assert [row.id for row in rows] == [finished_now, fresh]

    async def test_limit_takes_the_newest(self, tasks: Tasks) -> None:
        for _ in range(5):
            await tasks.submit(HELLO)
        everything = (await tasks.list_newest(TaskFilter())).rows
        assert (await tasks.list_newest(TaskFilter(limit=2))).rows == everything[:2]

    async def test_a_cut_look_back_is_told(self, tasks: Tasks, db: Database) -> None:
        await fill_history(db, completed=30)
        found = await tasks.list_newest(TaskFilter(statuses=(TaskStatus.FAILED,), look_back=10))
        assert found.rows == ()
        assert found.looked_back_to is not None
        everything = (await tasks.list_newest(TaskFilter(limit=100))).rows
        assert everything[10].finished_at == found.looked_back_to
        whole = await tasks.list_newest(TaskFilter(statuses=(TaskStatus.FAILED,)))
        assert whole.looked_back_to is None

    async def test_a_long_lane_is_cut_as_well_and_told(self, tasks: Tasks) -> None:
        await tasks.submit_many([NewTask(enterprise_id="big")] * 30)
        found = await tasks.list_newest(TaskFilter(tenant="small", look_back=10))
        assert found.rows == ()
        assert found.looked_back_to is not None

    @pytest.mark.parametrize(
        "chosen",
        [
            TaskFilter(),
            TaskFilter(statuses=(TaskStatus.PENDING,)),
            TaskFilter(statuses=(TaskStatus.PROCESSING,)),
            TaskFilter(statuses=(TaskStatus.COMPLETED,)),
            TaskFilter(since=datetime(2026, 1, 1, tzinfo=UTC)),
            TaskFilter(kind="chat", statuses=(TaskStatus.COMPLETED, TaskStatus.PENDING)),
        ],
        ids=["all", "pending", "processing", "completed", "since", "kind"],
    )
    async def test_a_list_reads_little_of_a_long_history(
        self, tasks: Tasks, db: Database, chosen: TaskFilter
    ) -> None:
        await fill_history(db, completed=20_000)
        await tasks.submit_many([HELLO] * 200)
        await analyze(db)
        params: dict[str, Any] = {
            "statuses": [status.value for status in chosen.statuses or TaskStatus],
            "kind": chosen.kind,
            "code": chosen.code,
            "since": chosen.since,
            "tenant": chosen.tenant,
            "limit": chosen.limit,
            "look_back": chosen.look_back,
        }
        for mode in ("force_custom_plan", "force_generic_plan"):
            assert await rows_read(db, "list_newest", mode, **params) < 1_500


class TestChange:
    async def test_cancel_ends_what_nobody_runs_and_asks_for_the_rest(
        self, tasks: Tasks, worker: ByHand
    ) -> None:
        processing, waiting, pending, completed = await tasks.submit_many([HELLO] * 4)
        claimed = [await worker.claim() for _ in range(2)]
        await worker.ask(claimed[1])
        await tasks.cancel([completed])
        unknown = uuid4()
        changes = await tasks.cancel([pending, processing, waiting, completed, unknown])
        assert [(change.id, change.before, change.after) for change in changes] == [
            (pending, TaskStatus.PENDING, TaskStatus.CANCELLED),
            (processing, TaskStatus.PROCESSING, TaskStatus.PROCESSING),
            (waiting, TaskStatus.WAITING, TaskStatus.CANCELLED),
            (completed, TaskStatus.CANCELLED, TaskStatus.CANCELLED),
            (unknown, None, None),
        ]
        assert await worker.queue.cancel_requests([processing, waiting]) == [processing]
        record = await tasks.get(pending)
        assert record is not None
        assert record.response_payload == {
            "error": "The task was cancelled before it finished.",
            "code": "cancelled",
            "retryable": False,
        }

    async def test_cancelling_twice_keeps_the_first_request(self, tasks: Tasks, worker: ByHand) -> None:
        task_id = await tasks.submit(HELLO)
        await worker.claim()
        await tasks.cancel([task_id])
        first = await tasks.get(task_id)
        await tasks.cancel([task_id, task_id])
        assert await tasks.get(task_id) == first

    async def test_retry_runs_what_has_ended_again_with_new_attempts(
        self, tasks: Tasks, worker: ByHand
    ) -> None:
        failed = await tasks.submit(NewTask(max_attempts=1))
        await worker.fail(await worker.claim(), "no_luck")
        pending = await tasks.submit(HELLO)
        changes = await tasks.retry([failed, pending])
        assert [(change.before, change.after) for change in changes] == [
            (TaskStatus.FAILED, TaskStatus.PENDING),
            (TaskStatus.PENDING, TaskStatus.PENDING),
        ]
        record = await tasks.get(failed)
        assert record is not None
        assert (record.attempt, record.max_attempts, record.response_payload) == (1, 2, None)
        assert [(await worker.claim()).id for _ in range(2)] == [pending, failed], "a retry queues at the end"

    async def test_retry_of_a_task_whose_key_is_taken_names_the_taker(
        self, tasks: Tasks, worker: ByHand
    ) -> None:
        failed = await tasks.submit(NewTask(dedupe_key="once"))
        await worker.fail(await worker.claim(), "no_luck")
        taker = await tasks.submit(NewTask(dedupe_key="once"))
        with pytest.raises(DuplicateTask) as duplicate:
            await tasks.retry([failed])
        assert duplicate.value.task_id == taker
        look = await tasks.look(failed)
        assert look is not None
        assert look.status is TaskStatus.FAILED

    async def test_opposite_orders_at_once_do_not_deadlock(self, tasks: Tasks) -> None:
        ids = await tasks.submit_many([HELLO] * 200)
        await asyncio.gather(*(tasks.cancel(order) for order in (ids, ids[::-1]) * 4))
        assert all(change.after is TaskStatus.CANCELLED for change in await tasks.cancel(ids))


class TestStream:
    async def test_events_come_in_order_and_in_pieces(self, tasks: Tasks, worker: ByHand) -> None:
        task_id = await tasks.submit(HELLO)
        task = await worker.claim()
        await worker.speak(task, *(str(n) for n in range(10)))
        assert [event.seq for event in await tasks.events(task_id)] == list(range(1, 11))
        assert [event.seq for event in await tasks.events(task_id, after_seq=4, limit=3)] == [5, 6, 7]

    async def test_follow_sees_status_and_events_together(self, tasks: Tasks, worker: ByHand) -> None:
        task_id = await tasks.submit(HELLO)
        step = await tasks.follow(task_id)
        assert step is not None
        assert (step.status, step.events, step.is_all) == (TaskStatus.PENDING, (), True)
        task = await worker.claim()
        await worker.say(task, *(Event("tick", {"n": n}) for n in range(EVENTS_PER_PAGE + 1)))
        await worker.complete(task, {})
        first = await tasks.follow(task_id)
        assert first is not None
        assert (first.status, len(first.events), first.is_all) == (
            TaskStatus.COMPLETED,
            EVENTS_PER_PAGE,
            False,
        )
        rest = await tasks.follow(task_id, after_seq=EVENTS_PER_PAGE)
        assert rest is not None
        assert ([event.data for event in rest.events], rest.is_all) == ([{"n": EVENTS_PER_PAGE}], True)


class TestQuestions:
    async def test_an_answer_closes_the_question_and_the_task_goes_on(
        self, tasks: Tasks, questions: Questions, worker: ByHand
    ) -> None:
        task_id = await tasks.submit(HELLO)
        await worker.ask(await worker.claim())
        (question,) = await questions.open()
        assert (question.task_id, question.title, question.status) == (task_id, "Go on?", "pending")
        assert await questions.of_task(task_id) == [question]
        assert await questions.find_by_prefix(str(question.id)[:13]) == question.id
        judge = uuid4()
        answered = await questions.answer(question.id, {"approved": True}, responded_by=judge)
        assert (answered.status, answered.response, answered.responded_by) == (
            "completed",
            {"approved": True},
            judge,
        )
        assert await questions.open() == []
        assert (await worker.claim()).id == task_id

    async def test_the_same_answer_twice_is_fine_and_another_is_refused(
        self, tasks: Tasks, questions: Questions, worker: ByHand
    ) -> None:
        await tasks.submit(HELLO)
        await worker.ask(await worker.claim())
        (question,) = await questions.open()
        first = await questions.answer(question.id, {"approved": True})
        assert await questions.answer(question.id, {"approved": True}) == first
        with pytest.raises(QuestionClosed, match="this question is completed; it takes no answer"):
            await questions.answer(question.id, {"approved": False})

    async def test_the_inbox_of_a_user_holds_only_its_own(
        self, tasks: Tasks, questions: Questions, worker: ByHand, db: Database
    ) -> None:
        await tasks.submit_many([HELLO] * 2)
        for _ in range(2):
            await worker.ask(await worker.claim())
        everything = await questions.open()
        mine = uuid4()
        await db.fetch_value(
            "UPDATE human_tasks SET assignee = %(mine)s WHERE id = %(id)s RETURNING id",
            {"mine": mine, "id": everything[1].id},
        )
        assert [question.id for question in await questions.open(assignee=mine)] == [everything[1].id]
        assert await questions.open(limit=1) == everything[:1]

    async def test_an_unknown_question_and_an_unstorable_answer_are_told(
        self, tasks: Tasks, questions: Questions, worker: ByHand
    ) -> None:
        with pytest.raises(TaskNotFound, match="there is no question"):
            await questions.answer(uuid4(), {})
        await tasks.submit(HELLO)
        await worker.ask(await worker.claim())
        (question,) = await questions.open()
        with pytest.raises(TaskRefused, match="response must be a JSON object"):
            await questions.answer(question.id, ["yes"])  # type: ignore[arg-type]  # what a careless caller sends
        with pytest.raises(TaskRefused, match=r"response\.note holds a NUL"):
            await questions.answer(question.id, {"note": "\x00"})


async def test_records_print_as_json(tasks: Tasks, worker: ByHand) -> None:
    task_id = await tasks.submit(NewTask(user_id=uuid4(), run_at=None))
    task = await worker.claim()
    await worker.speak(task, "Hi")
    await worker.complete(task, {"answer": "Hi"})
    record = await tasks.get(task_id)
    assert record is not None
    printed = json.loads(json.dumps(record.as_json()))
    assert printed["id"] == str(task_id)
    assert printed["status"] == "completed"
    assert datetime.fromisoformat(printed["created_at"]) == record.created_at
    listed = json.loads(json.dumps((await tasks.list_newest(TaskFilter())).as_json()))
    assert listed["rows"][0]["id"] == str(task_id)
    (event,) = await tasks.events(task_id)
    assert json.loads(json.dumps(event.as_json()))["data"] == {"id": "t1", "delta": "Hi"}


def _passes(row: TaskRow, chosen: TaskFilter) -> bool:
    return (
        (not chosen.statuses or row.status in chosen.statuses)
        and chosen.kind in (None, row.kind)
        and chosen.tenant in (None, row.enterprise_id)
    )


async def fill_history(db: Database, *, completed: int) -> None:
    """Insert tasks that ended, one per second, as if they had been processed."""
    query = """
        WITH old AS (
          INSERT INTO agent_task_requests (kind, max_attempts, created_at)
          SELECT 'chat', 1, now() - interval '2 days' FROM generate_series(1, %(n)s) RETURNING id
        )
        SELECT array_agg(id) FROM old
    """
    ids = await db.fetch_value(query, {"n": completed})
    await db.fetch_value(
        "UPDATE agent_task_requests t SET status = 'completed', attempt = 1, response_payload = '{}', "
        "finished_at = now() - n * interval '1 s', updated_at = now() - n * interval '1 s' "
        "FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS old (id, n) WHERE t.id = old.id RETURNING 1",
        {"ids": ids},
    )


async def analyze(db: Database) -> None:
    """Have the planner know the table."""
    async with db.connection() as conn:
        await conn.execute("ANALYZE public.agent_task_requests")


async def explain(db: Database, name: str, **params: object) -> str:
    """Return a statement's plan."""
    rows = await db.fetch_all("EXPLAIN " + sql(name), params)
    return "\n".join(row[0] for row in rows)


async def rows_read(db: Database, name: str, plan_cache_mode: str, **params: object) -> int:
    """Run a statement as `reading` does and return how many rows its scans fetched."""
    async with db.connection() as conn, conn.transaction():
        await conn.execute(sql("read_by_index"))
        await conn.execute("SELECT set_config('plan_cache_mode', %s, true)", [plan_cache_mode])
        cursor = await conn.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql(name), params, prepare=True)
        (([plan],),) = await cursor.fetchall()
    return sum(_fetched(plan["Plan"]))


def _fetched(node: dict[str, Any]) -> Iterable[int]:
    if "Relation Name" in node:
        yield int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
    for child in node.get("Plans", ()):
        yield from _fetched(child)
