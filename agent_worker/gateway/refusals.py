"""How an error is printed: GoTrue's body below `/auth/v1`, a flat one below `/api`, PostgREST's everywhere else."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from agent_worker.domain.errors import DatabaseUnavailable, GatewayError, ValueRefused

AUTH_PATH = "/auth/v1"
AGENTS_PATH = "/api"

NO_ROUTE = GatewayError("no Route matched with those values", status=404, code="no_route")
FAILED = GatewayError("Something went wrong here; it is in the log", status=500, code="unexpected_failure")

_TOKEN_CODES = frozenset({"PGRST301", "PGRST303", "22023"})
_BAD_JSON = "json_invalid"
_NOT_UNDERSTOOD = frozenset({"validation_failed", "bad_json"})


def refusal(error: GatewayError, path: str) -> Response:
    """Return the answer that an error stands for, in the words of the part of the API that was asked."""
    if path.startswith(AUTH_PATH):
        status, body = _of_auth(error)
    elif path == AGENTS_PATH or path.startswith(f"{AGENTS_PATH}/"):
        status, body = _of_agents(error)
    else:
        status = error.status
        body = {"code": error.code, "details": error.details, "hint": error.hint, "message": str(error)}
    return Response(
        json.dumps(body).encode(),
        status_code=status,
        headers=error.headers,
        media_type="application/json; charset=utf-8",
    )


def _of_auth(error: GatewayError) -> tuple[int, dict[str, Any]]:
    # GoTrue answers a bad token with 403; 401 is for none at all.
    is_token = error.code in _TOKEN_CODES
    status = HTTPStatus.FORBIDDEN if is_token else error.status
    code = "bad_jwt" if is_token else error.code
    body: dict[str, Any] = {"code": int(status), "error_code": code, "msg": str(error)}
    if code == "weak_password":
        body["weak_password"] = {"reasons": ["length"]}
    return status, body


def _of_agents(error: GatewayError) -> tuple[int, dict[str, Any]]:
    """Return the status and the flat body that clients of the worker protocol read.

    They take the class of an error from the status alone, and know 422 for none.
    """
    if error.code in _NOT_UNDERSTOOD:
        return HTTPStatus.BAD_REQUEST, {"error": str(error), "code": "validation_error"}
    return error.status, {"error": str(error), "code": error.code}


def database_away() -> GatewayError:
    """Return what to tell while the database is away: not its message, whose hosts and ports are nobody's business."""
    return GatewayError(
        "Database connection error. Retrying the connection.",
        status=503,
        code="PGRST000",
        headers={"Retry-After": "1"},
    )


def as_gateway_error(error: Exception) -> GatewayError | None:
    """Return what to tell of an error that is known; None for one that nobody expected."""
    match error:
        case GatewayError():
            return error
        case DatabaseUnavailable():
            return database_away()
        case ValueRefused():
            return GatewayError("A value is refused by the database", status=422, code="validation_failed")
        case RequestValidationError():
            return _validation(error)
        case HTTPException():
            return _http(error)
        case _:
            return None


def _validation(error: RequestValidationError) -> GatewayError:
    first = error.errors()[0]
    if first["type"] == _BAD_JSON:
        return GatewayError("Could not parse request body as JSON", status=400, code="bad_json")
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    what = str(first["msg"]).removeprefix("Value error, ")
    return GatewayError(f"{where}: {what}" if where else what, status=400, code="validation_failed")


def _http(error: HTTPException) -> GatewayError:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return NO_ROUTE
    code = HTTPStatus(error.status_code).name.lower()
    return GatewayError(
        str(error.detail), status=error.status_code, code=code, headers=dict(error.headers or {})
    )
