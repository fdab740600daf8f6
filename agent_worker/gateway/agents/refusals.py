"""What callers are told when they may not, or when something is not there or does not fit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from agent_worker.db.access.refusals import StatementRefused
from agent_worker.domain.client_errors import (
    AnswerNotAllowed,
    QuestionClosed,
    ResultsRefused,
    TaskNotFound,
    TaskRefused,
)
from agent_worker.domain.errors import GatewayError, InvalidPayload

_NOT_ALLOWED = "42501"
_OF_THE_VALUE = frozenset({"22", "23", "54"})
"""Classes of SQLSTATE: data exception, integrity constraint, program limit exceeded."""


def invalid(sentence: str) -> GatewayError:
    """Return the refusal of something that does not fit; the sentence begins with its JSON path where it has one."""
    return GatewayError(sentence, status=400, code="validation_error")


def not_found(what: str) -> GatewayError:
    """Return the refusal of something that is not there, or is somebody else's."""
    return GatewayError(f"There is no such {what}.", status=404, code="not_found")


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn what the rooms below say no with into the answer that it stands for."""
    try:
        yield
    except (InvalidPayload, TaskRefused, ResultsRefused) as exc:
        raise invalid(str(exc)) from exc
    except TaskNotFound as exc:
        raise not_found("execution") from exc
    except QuestionClosed as exc:
        raise GatewayError(str(exc), status=409, code="question_closed") from exc
    except AnswerNotAllowed as exc:
        raise GatewayError(str(exc), status=403, code="not_allowed") from exc
    except StatementRefused as exc:
        if exc.sqlstate == _NOT_ALLOWED:
            raise GatewayError("Your rights do not allow this.", status=403, code="not_allowed") from exc
        if exc.sqlstate[:2] in _OF_THE_VALUE:
            raise invalid(exc.message) from exc
        raise
