"""Results of tools let a parked task go on: once, by who may, and from a place in the stream that is known."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.continuing import Continuing
from agent_worker.db.queue import Batch, Queue, Said
from agent_worker.domain.caller import ANON, AUTHENTICATED, SERVICE_ROLE, Caller
from agent_worker.domain.client_errors import (
    AnswerNotAllowed,
    QuestionClosed,
    ResultsRefused,
    TaskNotFound,
    TaskRefused,
)
from agent_worker.domain.events import (
    Event,
    attempt_start,
    client_tool_request,
    finish,
    human_request,
)
from agent_worker.domain.json import JsonObject
from agent_worker.domain.replay import Call, Question
from agent_worker.domain.task import Lease
from tests.db.steps import ask, claim_all, claim_new, lease_of, park

CALLS = [{"toolCallId": f"c{n}", "toolName": "look-up", "args": {}} for n in (1, 2)]
RESULTS: list[JsonObject] = [
    {"toolCallId": "c1", "toolName": "look-up", "result": {"depth": 7}},
    {"toolCallId": "c2", "error": "It is closed."},
]


@pytest.fixture
def continuing(db: Database) -> Continuing:
    return Continuing(db)


def tools(calls: list[Any] | None = None) -> Question:
    fields: JsonObject = {
        "type": "client_tool",
        "title": "Run tools",
        "description": "",
        "form": {},
        "context": {"toolCalls": CALLS if calls is None else calls},
        "priority": "medium",
        "assignee": None,
    }
    return Question(key="tools", call=Call.CLIENT, fields=fields)


async def say(queue: Queue, lease: Lease, *events: Event) -> None:
    first = await queue.last_event_seq(lease.task_id) + 1
    said = [Said(lease, first + n, event) for n, event in enumerate(events)]
    assert not await queue.write(Batch(events=said))


def begun(lease: Lease) -> Event:
    return attempt_start(attempt=lease.attempt, resume="fresh", keep=())


async def asked(db: Database, queue: Queue, **columns: Any) -> Lease:
    """A task that has asked its client for two calls: events 1 to 3."""
    lease = await claim_new(db, queue, **columns)
    task_id = str(lease.task_id)
    await say(
        queue, lease, begun(lease), client_tool_request(task_id, CALLS), finish("client-tool-calls", task_id)
    )
    await park(queue, lease, tools())
    return lease


async def status(db: Database, task_id: UUID) -> str:
    return str(
        await db.fetch_value("SELECT status FROM agent_task_requests WHERE id = %(id)s", {"id": task_id})
    )


async def response(db: Database, task_id: UUID) -> Any:
    return await db.fetch_value("SELECT response FROM human_tasks WHERE task_id = %(id)s", {"id": task_id})


def user(user_id: UUID) -> Caller:
    return Caller(AUTHENTICATED, {"sub": str(user_id), "role": AUTHENTICATED})


async def test_results_wake_the_task_and_the_next_leg_begins_after_what_was_said(
    db: Database, queue: Queue, continuing: Continuing
) -> None:
    lease = await asked(db, queue)
    assert await continuing.answer(lease.task_id, RESULTS) == 3
    assert await status(db, lease.task_id) == "pending"
    assert await response(db, lease.task_id) == {"toolResults": RESULTS}


async def test_the_same_results_again_change_nothing_and_lead_to_the_same_leg(
    db: Database, queue: Queue, continuing: Continuing
) -> None:
    lease = await asked(db, queue)
    await continuing.answer(lease.task_id, RESULTS)
    (task,) = await claim_all(queue)
    again = lease_of(task, queue)
    await say(queue, again, begun(again), Event("start", {}), Event("tick", {}))
    other: list[JsonObject] = [{**result, "result": "another"} for result in RESULTS]
    assert await continuing.answer(lease.task_id, list(reversed(other))) == 3
    assert await response(db, lease.task_id) == {"toolResults": RESULTS}
    assert await status(db, lease.task_id) == "processing"


async def test_many_who_answer_at_once_all_hear_the_same_leg(
    db: Database, queue: Queue, continuing: Continuing
) -> None:
    lease = await asked(db, queue)
    legs = await asyncio.gather(*(continuing.answer(lease.task_id, RESULTS) for _ in range(8)))
    assert legs == [3] * 8
    assert await response(db, lease.task_id) == {"toolResults": RESULTS}


async def test_results_that_fit_no_open_question_are_refused_and_the_open_ones_named(
    db: Database, queue: Queue, continuing: Continuing
) -> None:
    lease = await asked(db, queue)
    with pytest.raises(ResultsRefused, match=r"Nothing was asked under c9\. Open are: c1, c2\.") as refused:
        await continuing.answer(lease.task_id, [{"toolCallId": "c9", "result": 1}])
    assert refused.value.open_ids == ("c1", "c2")
    with pytest.raises(ResultsRefused, match="missing: c2"):
        await continuing.answer(lease.task_id, RESULTS[:1])
    with pytest.raises(ResultsRefused, match="two results"):
        await continuing.answer(lease.task_id, [*RESULTS, *RESULTS])
    wrong: list[list[Any]] = [[], [{}], ["c1"], [{"toolCallId": 1}]]
    for results in wrong:
        with pytest.raises(ResultsRefused, match="toolCallId"):
            await continuing.answer(lease.task_id, results)
    with pytest.raises(TaskRefused, match="NUL"):
        await continuing.answer(lease.task_id, [{"toolCallId": "c1", "result": "\x00"}, RESULTS[1]])
    assert await status(db, lease.task_id) == "waiting"
    with pytest.raises(TaskNotFound):
        await continuing.answer(uuid4(), RESULTS)


async def test_a_person_answers_with_an_object_or_says_no_with_an_error(
    db: Database, queue: Queue, continuing: Continuing
) -> None:
    for results, stored in (
        ({"result": {"approved": True, "note": "fine"}}, {"approved": True, "note": "fine"}),
        ({"error": "Not today."}, {"approved": False, "note": "Not today."}),
    ):
        lease = await claim_new(db, queue)
        question = human_request(key="ok", kind="approval", title="Go on?")
        await say(queue, lease, begun(lease), question, finish("client-tool-calls", "x"))
        await park(queue, lease, ask("ok"))
        with pytest.raises(ResultsRefused, match="object"):
            await continuing.answer(lease.task_id, [{"toolCallId": "ok", "result": True}])
        leg = await continuing.answer(lease.task_id, [{"toolCallId": "ok", **results}])
        assert leg == 3
        assert await response(db, lease.task_id) == stored
        (task,) = await claim_all(queue)
        assert task.id == lease.task_id


async def test_a_question_that_was_withdrawn_takes_no_answer(
    db: Database, queue: Queue, continuing: Continuing
) -> None:
    lease = await asked(db, queue)
    await db.fetch_all(
        "UPDATE agent_task_requests SET cancel_requested_at = now() WHERE id = %(id)s RETURNING 1",
        {"id": lease.task_id},
    )
    with pytest.raises(QuestionClosed, match="cancelled"):
        await continuing.answer(lease.task_id, RESULTS)


async def test_results_that_come_before_the_task_has_parked_wait_for_it(
    db: Database, queue: Queue, continuing: Continuing
) -> None:
    lease = await claim_new(db, queue)
    task_id = str(lease.task_id)
    request = client_tool_request(task_id, CALLS)
    await say(queue, lease, begun(lease), request, finish("client-tool-calls", task_id))
    answering = asyncio.create_task(continuing.answer(lease.task_id, RESULTS))
    done, _ = await asyncio.wait({answering}, timeout=0.1)
    assert not done
    await park(queue, lease, tools())
    assert await answering == 3


class TestAsACaller:
    """Policies decide, as for any other client of the tables."""

    async def test_the_tasks_user_answers(self, db: Database, queue: Queue, continuing: Continuing) -> None:
        ann = uuid4()
        lease = await asked(db, queue, user_id=ann)
        leg = await continuing.answer(lease.task_id, RESULTS, caller=user(ann))
        assert leg == 3
        again = await continuing.answer(lease.task_id, RESULTS, caller=user(ann))
        assert again == 3
        by = await db.fetch_value(
            "SELECT responded_by FROM human_tasks WHERE task_id = %(id)s", {"id": lease.task_id}
        )
        assert by == ann

    async def test_another_user_and_a_visitor_find_no_such_task(
        self, db: Database, queue: Queue, continuing: Continuing
    ) -> None:
        lease = await asked(db, queue, user_id=uuid4())
        for caller in (user(uuid4()), Caller(ANON, {"role": ANON})):
            with pytest.raises(TaskNotFound):
                await continuing.answer(lease.task_id, RESULTS, caller=caller)
        assert await status(db, lease.task_id) == "waiting"

    async def test_a_question_to_somebody_else_is_seen_and_not_answered(
        self, db: Database, queue: Queue, continuing: Continuing
    ) -> None:
        ann, boss = uuid4(), uuid4()
        lease = await claim_new(db, queue, user_id=ann)
        await park(queue, lease, ask("ok", assignee=boss))
        results: list[JsonObject] = [{"toolCallId": "ok", "result": {"approved": True}}]
        with pytest.raises(AnswerNotAllowed):
            await continuing.answer(lease.task_id, results, caller=user(ann))
        assert await status(db, lease.task_id) == "waiting"

    async def test_the_service_role_answers_for_everybody(
        self, db: Database, queue: Queue, continuing: Continuing
    ) -> None:
        lease = await asked(db, queue, user_id=uuid4())
        service = Caller(SERVICE_ROLE, {"role": SERVICE_ROLE})
        assert await continuing.answer(lease.task_id, RESULTS, caller=service) == 3
