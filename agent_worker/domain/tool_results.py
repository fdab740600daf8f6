"""What clients answer to the calls of a parked task, and which of its questions that is.

A question of kind `client_tool` asks for a result of each of its calls. Any other is asked of a person; its key is the
`toolCallId`, and its result is the answer itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from agent_worker.domain.client_errors import QuestionClosed, ResultsRefused
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.records import Question

CLIENT_TOOL = "client_tool"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response to one question."""

    question_id: UUID
    response: JsonObject


def call_ids(question: Question) -> list[str]:
    """Return the ids of the calls that a question asks for."""
    if question.type != CLIENT_TOOL:
        return [question.key]
    calls = question.context.get("toolCalls")
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        return []
    return [str(call["toolCallId"]) for call in calls if isinstance(call, Mapping) and "toolCallId" in call]


def result_ids(results: Sequence[JsonValue]) -> list[str]:
    """Return the ids that results answer to.

    Raises:
        ResultsRefused: There are none, one names no call, or two name the same.
    """
    ids = [result.get("toolCallId") if isinstance(result, Mapping) else None for result in results]
    names = [each for each in ids if isinstance(each, str)]
    if not names or len(names) != len(ids):
        raise ResultsRefused("Each result needs the toolCallId that it answers to, and there must be one.")
    if len(set(names)) != len(names):
        raise ResultsRefused("There are two results for one toolCallId.")
    return names


def match_results(questions: Sequence[Question], results: Sequence[JsonObject]) -> list[Answer]:
    """Return what is to be written; nothing where all of it has been answered before.

    Args:
        questions: All that the task has asked, in order.
        results: Each `{toolCallId, result | error}`.

    Raises:
        ResultsRefused: Results fit no question, or some of a question's are missing; names the calls that are open.
        QuestionClosed: A question was withdrawn, or its time is up.
    """
    given = dict(zip(result_ids(results), results, strict=True))
    waiting = [question for question in questions if question.status == "pending"]
    open_ids = [call_id for question in waiting for call_id in call_ids(question)]
    left = set(given)
    answers = []
    for question in waiting:
        asked = call_ids(question)
        if left.isdisjoint(asked):
            continue
        if missing := [call_id for call_id in asked if call_id not in given]:
            raise ResultsRefused(f"Results are missing: {', '.join(missing)}.", open_ids=open_ids)
        answers.append(Answer(question.id, _response(question, [given[call_id] for call_id in asked])))
        left -= set(asked)
    for question in questions:
        if question.status == "completed":
            left -= set(call_ids(question))
    _require_none(left, questions, open_ids)
    return answers


def _require_none(left: Collection[str], questions: Sequence[Question], open_ids: Sequence[str]) -> None:
    if not left:
        return
    for question in questions:
        if not set(left).isdisjoint(call_ids(question)):
            raise QuestionClosed(f"The question is {question.status}; it takes no answer.")
    raise ResultsRefused(
        f"Nothing was asked under {', '.join(sorted(left))}.", open_ids=open_ids, is_unknown=True
    )


def _response(question: Question, results: Sequence[JsonObject]) -> JsonObject:
    if question.type == CLIENT_TOOL:
        return {"toolResults": list(results)}
    (result,) = results
    if (error := result.get("error")) is not None:
        return {"approved": False, "note": str(error)}
    answer = result.get("result")
    if not isinstance(answer, Mapping):
        raise ResultsRefused('The result of a question to a person is an object, such as {"approved": true}.')
    return answer
