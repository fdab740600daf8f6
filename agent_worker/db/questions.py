"""Questions that tasks ask people and client tools: the inbox."""

from __future__ import annotations

from uuid import UUID

import psycopg

from agent_worker.db.admission import id_range, refusals, storable_json, the_one
from agent_worker.db.connection import Database
from agent_worker.db.queries import sql
from agent_worker.domain.client_errors import QuestionClosed, TaskNotFound
from agent_worker.domain.json import JsonObject
from agent_worker.domain.records import Question

ANSWER_TOO_LATE = "PT409"  # raised by admit_answer(); PostgREST turns it into HTTP 409


class Questions:
    """The rows of `human_tasks`, of every tenant."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def open(self, *, assignee: UUID | None = None, limit: int = 100) -> list[Question]:
        """Return questions that wait for an answer, oldest first; of everybody, or assigned to one user."""
        params = {"assignee": assignee, "limit": limit}
        return [Question(*row) for row in await self._db.fetch_all(sql("open_questions"), params)]

    async def of_task(self, task_id: UUID) -> list[Question]:
        """Return everything a task ever asked, in order."""
        rows = await self._db.fetch_all(sql("task_questions"), {"task_id": task_id})
        return [Question(*row) for row in rows]

    async def find_by_prefix(self, prefix: str) -> UUID:
        """Return the one question whose id begins so.

        Raises:
            TaskNotFound: None does, several do, or `prefix` is no part of an id.
        """
        rows = await self._db.fetch_all(sql("find_question_ids"), id_range(prefix))
        return the_one("question", prefix, [row[0] for row in rows])

    async def answer(
        self, question_id: UUID, response: JsonObject, *, responded_by: UUID | None = None
    ) -> Question:
        """Answer a question; its task goes on by itself. The same answer twice is fine.

        Args:
            question_id: A row of `human_tasks`.
            response: What `form` asks for; for `client_tool` `{"toolResults": [{toolCallId, result | error}]}`.
            responded_by: The user who answers.

        Raises:
            QuestionClosed: Another answer came first, the question was withdrawn, or its time is up.
            TaskNotFound: There is no such question.
            TaskRefused: The response is no JSON object, or cannot be stored.
        """
        params = {
            "id": question_id,
            "response": storable_json("response", response),
            "responded_by": responded_by,
        }
        try:
            with refusals():
                rows = await self._db.fetch_all(sql("answer_question"), params)
        except psycopg.DatabaseError as exc:
            if exc.sqlstate != ANSWER_TOO_LATE:
                raise
            raise QuestionClosed(f"{exc.diag.message_primary} · {exc.diag.message_hint}") from exc
        if not rows:
            raise TaskNotFound(f"there is no question {question_id}")
        return Question(*rows[0])
