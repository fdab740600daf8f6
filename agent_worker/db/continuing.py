"""Let a parked task go on: results of tools become the answers to its questions.

The same results again are no error and change nothing, so that a client may repeat a request whose reply was lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import psycopg
from tenacity import AsyncRetrying, RetryCallState, stop_after_delay, wait_exponential

from agent_worker.db.access.access import TIMEOUTS_S
from agent_worker.db.access.acting import Acting, Circumstances
from agent_worker.db.admission import refusals, storable_json
from agent_worker.db.connection import Database
from agent_worker.db.questions import ANSWER_TOO_LATE
from agent_worker.db.transport import Transport
from agent_worker.domain.caller import ANON, Caller
from agent_worker.domain.client_errors import AnswerNotAllowed, ResultsRefused, TaskNotFound
from agent_worker.domain.errors import AgentWorkerError
from agent_worker.domain.json import JsonObject
from agent_worker.domain.records import Question
from agent_worker.domain.task import TaskStatus
from agent_worker.domain.tool_results import Answer, match_results, result_ids

PARKING_S = 5.0
"""How long results wait for their question: its event is heard a moment before the task has parked."""


class _NotParked(ResultsRefused):
    """What was asked is in the stream and not yet in the table."""


class Continuing:
    """Answers questions of tasks with results of tools.

    Args:
        db: An open database. For callers other than None, its user must be one who may become their roles.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def answer(
        self, task_id: UUID, results: Sequence[JsonObject], *, caller: Caller | None = None
    ) -> int:
        """Answer what a task waits for, in one transaction.

        Args:
            task_id: The task.
            results: Each `{toolCallId, result | error}`; all of a question's calls together. For a question to a person,
                whose key is the `toolCallId`, the result is the answer, such as `{"approved": true}`.
            caller: With whose rights; None: the database user's own.

        Returns:
            The last event before the next leg: follow the task from there.

        Raises:
            TaskNotFound: There is no such task, or the caller may not see it.
            ResultsRefused: The results fit no question that is open; names those that are.
            QuestionClosed: The question was withdrawn, or its time is up.
            AnswerNotAllowed: The caller may see the question, and not answer it.
            TaskRefused: A result cannot be stored.
            DatabaseUnavailable: Nobody answers.
        """
        ids = result_ids(results)
        if caller is not None and caller.role == ANON:
            raise TaskNotFound(f"there is no task {task_id}")
        retrying = AsyncRetrying(
            retry=_may_pass,
            stop=stop_after_delay(PARKING_S),
            wait=wait_exponential(0.02, max=0.5),
            reraise=True,
        )
        return await retrying(self._answer, task_id, ids, results, caller)

    async def _answer(
        self, task_id: UUID, ids: Sequence[str], results: Sequence[JsonObject], caller: Caller | None
    ) -> int:
        async with self._db.together() as work:
            if caller is not None:
                await _act(work, caller)
            rows = await work.call("next_leg", {"task_id": task_id, "ids": list(ids)})
            if not rows:
                raise TaskNotFound(f"there is no task {task_id}")
            ((status, asked_seq, after_seq),) = rows
            questions = [Question(*row) for row in await work.call("task_questions", {"task_id": task_id})]
            try:
                answers = match_results(questions, results)
            except ResultsRefused as refused:
                if refused.is_unknown and asked_seq is not None and _runs(TaskStatus(status)):
                    raise _NotParked(str(refused)) from None
                raise
            for answer in answers:
                if not await _write(work, answer):
                    raise AnswerNotAllowed("This question is for somebody else to answer.")
        return int(after_seq)


class _AnsweredMeanwhile(AgentWorkerError):
    """Somebody else was faster; what they said decides."""


async def _act(work: Transport, caller: Caller) -> None:
    acting = Acting(caller, Circumstances("POST"), "public", TIMEOUTS_S.get(caller.role))
    await work.call("act_as", acting.settings(is_read_only=False))


async def _write(work: Transport, answer: Answer) -> bool:
    params = {"id": answer.question_id, "response": storable_json("response", answer.response)}
    try:
        with refusals():
            return bool(await work.call("respond", params))
    except psycopg.DatabaseError as error:
        if error.sqlstate == ANSWER_TOO_LATE:
            raise _AnsweredMeanwhile from error
        raise


def _runs(status: TaskStatus) -> bool:
    return status in {TaskStatus.PENDING, TaskStatus.PROCESSING}


def _may_pass(state: RetryCallState) -> bool:
    error = None if state.outcome is None else state.outcome.exception()
    return isinstance(error, _NotParked | _AnsweredMeanwhile)
