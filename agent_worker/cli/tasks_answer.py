"""`agent-worker tasks answer`."""

from __future__ import annotations

from typing import Annotated

import typer

from agent_worker.cli.options import AsJson, DatabaseUrl, json_object
from agent_worker.cli.screen import print_json
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.connection import Database
from agent_worker.db.questions import Questions
from agent_worker.domain.records import Question


def tasks_answer(
    question_id: Annotated[
        str, typer.Argument(metavar="QUESTION", help="The question's id; its first digits are enough.")
    ],
    response: Annotated[
        str, typer.Argument(metavar="JSON", help='What it asks for, such as {"approved": true}.')
    ],
    *,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Answer what a task asks a person or the client's tools; the task goes on by itself.

    The same answer twice is fine; another one after the first is refused. --json prints the question.
    """
    answer = json_object("JSON", response)

    async def work(db: Database) -> Question:
        questions = Questions(db)
        return await questions.answer(await questions.find_by_prefix(question_id), answer)

    answered = with_database(read_settings(database_url=database_url), work)
    if as_json:
        print_json(answered.as_json())
    else:
        print(f"answered · the task {str(answered.task_id)[:8]} goes on")
