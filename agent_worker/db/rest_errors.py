"""What PostgREST and whoever stands before it answer, in our words.

The body of an error is `{"code", "message", "details", "hint"}`, where `code` is PostgreSQL's SQLSTATE or PostgREST's own
(`PGRST…`, https://docs.postgrest.org/en/stable/references/errors.html). A gateway before it may answer with anything.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from http import HTTPStatus

import httpx

from agent_worker.db.project import Project
from agent_worker.domain.errors import (
    AgentWorkerError,
    ConfigurationError,
    DatabaseUnavailable,
    SchemaOutOfDate,
    ValueRefused,
)

_MISSING = {"42P01", "42883", "42703", "3F000", "PGRST202", "PGRST203", "PGRST205"}
"""A table, function or column is not there, or not as this release calls it."""
_NO_ENTRY = {"42501", "PGRST301", "PGRST302", "PGRST303"}
_EXPOSED = {"PGRST106", "PGRST125"}
_PASSES = {"25006", "55P03", "PGRST000", "PGRST001", "PGRST002", "PGRST003"}
_PASSING_CLASSES = {"08", "40", "53", "57", "58"}
"""No connection, a deadlock, no room, a shutdown or a timeout, a failing disk."""
_PASSING_STATUSES = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class Answered(Exception):
    """An HTTP answer that says no.

    Args:
        status: Its HTTP status.
        body: Its body, as far as it is text.
    """

    def __init__(self, status: int, body: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@contextlib.contextmanager
def explained(project: Project) -> Iterator[None]:
    """Turn what goes wrong in a call into the domain's errors; an argument that is no JSON passes as ValueError.

    Raises:
        DatabaseUnavailable: Nobody answers, or somebody answers that it may pass by itself.
        SchemaOutOfDate: The function is not there.
        ConfigurationError: The key is refused, or nobody there speaks PostgREST.
        ValueRefused: PostgreSQL does not take a value.
    """
    try:
        yield
    except Answered as answer:
        raise meaning(project, answer.status, answer.body) from None
    except (httpx.RequestError, TimeoutError) as exc:
        what = project.without_key(str(exc)).partition("\n")[0] or type(exc).__name__
        raise DatabaseUnavailable(
            f"supabase is not reachable at {project.target} · {what} · check SUPABASE_URL and the network"
        ) from exc


def meaning(project: Project, status: int, body: str) -> AgentWorkerError:
    """Return the error that an answer stands for."""
    code, message = _read(project, body)
    where = f"supabase at {project.target}"
    if code in _MISSING:
        return SchemaOutOfDate(
            f"{where} lacks a function of this release · "
            "run: supabase db push, or with a DATABASE_URL: agent-worker migrate"
        )
    if code in _NO_ENTRY or status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return ConfigurationError(f"{where} refuses SUPABASE_SERVICE_KEY ({message}) · {_which_key(project)}")
    if code in _EXPOSED:
        return ConfigurationError(
            f"{where} does not expose the schema public ({message}) · add it in Project Settings, Data API"
        )
    if _passes(code, status):
        return DatabaseUnavailable(f"{where} answers {status} · {message} · trying again may help")
    if _is_sqlstate(code) or code.startswith("PGRST1") or status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return ValueRefused(message, sqlstate=code)
    return ConfigurationError(
        f"{project.target} does not answer as a Supabase project ({status}, {message}) · check SUPABASE_URL"
    )


def _passes(code: str, status: int) -> bool:
    if code in _PASSES or code[:2] in _PASSING_CLASSES:
        return True
    if _is_sqlstate(code):  # PostgreSQL has looked at the values, whatever status that became
        return False
    return status in _PASSING_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _is_sqlstate(code: str) -> bool:
    return len(code) == 5 and code.isalnum()  # noqa: PLR2004 - SQL's own length


def _read(project: Project, body: str) -> tuple[str, str]:
    """Return the code and the message of an answer; a body that is no such object has neither, and is not repeated."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        return "", "no reason given"
    code, message = parsed.get("code"), parsed.get("message") or parsed.get("error")
    told = message if isinstance(message, str) else "no reason given"
    return code if isinstance(code, str) else "", project.without_key(told).partition("\n")[0]


def _which_key(project: Project) -> str:
    if project.is_public_key:
        return (
            "this is a publishable (anon) key, which may do nothing here · take the secret (service_role) key "
            "from the dashboard: Project Settings, API Keys"
        )
    return "take the secret (service_role) key from the dashboard: Project Settings, API Keys"
