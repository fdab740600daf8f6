"""What went wrong, in PostgREST's words: status, code, message, details, hint.

Source: https://docs.postgrest.org/en/stable/references/errors.html. Never SQL, never a traceback.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import assert_never

from agent_worker.db.access import refusals
from agent_worker.db.access.refusals import AccessRefused, StatementRefused
from agent_worker.domain.caller import ANON, Caller
from agent_worker.domain.errors import AgentWorkerError, DatabaseUnavailable, GatewayError
from agent_worker.gateway.refusals import database_away
from agent_worker.gateway.rest.scanner import SyntaxProblem

_STATUSES: Mapping[str, int] = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "23503": 409,
    "23505": 409,
    "21000": 500,
    "25006": 405,
    "25": 500,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
    "53400": 500,
    "53": 503,
    "54": 500,
    "55": 500,
    "57P01": 503,
    "57": 500,
    "58": 500,
    "F0": 500,
    "HV": 500,
    "P0001": 400,
    "P0": 500,
    "XX": 500,
}
"""HTTP status by SQLSTATE, or by its class."""
_BAD_REQUEST = 400
_STATUS_DIGITS = 3
_LISTED = "PGRST201"
"""The one error whose details are a list."""


def refused(error: AgentWorkerError, caller: Caller | None) -> GatewayError:
    """Return what a client is told.

    Args:
        error: What the room below says.
        caller: Who asked; whoever is not signed in is asked to sign in.
    """
    match error:
        case GatewayError():
            return error
        case StatementRefused():
            return _statement(error, is_anonymous=caller is None or caller.role == ANON)
        case AccessRefused():
            return _access(error)
        case DatabaseUnavailable():
            return database_away()
        case _:
            raise error


def unreadable(what: str, text: str, problem: SyntaxProblem) -> GatewayError:
    """Return the refusal of a text that does not fit the grammar."""
    return GatewayError(
        f'"failed to parse {what} ({text})" (line 1, column {problem.column})',
        status=400,
        code="PGRST100",
        details=problem.problem,
    )


def not_embedded(relation: str) -> GatewayError:
    """Return the refusal of a condition on a relation that is not in the select list."""
    return GatewayError(
        f"'{relation}' is not an embedded resource in this request",
        status=400,
        code="PGRST108",
        hint=f"Verify that '{relation}' is included in the 'select' query parameter.",
    )


def range_refused(details: str, *, headers: Mapping[str, str] | None = None) -> GatewayError:
    """Return the refusal of a range."""
    return GatewayError(
        "Requested range not satisfiable", status=416, code="PGRST103", details=details, headers=headers
    )


def body_of(error: GatewayError) -> bytes:
    """Return the JSON that tells an error."""
    details: object = error.details
    if error.code == _LISTED and error.details is not None:
        details = json.loads(error.details)
    told = {"code": error.code, "details": details, "hint": error.hint, "message": str(error)}
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def _statement(error: StatementRefused, *, is_anonymous: bool) -> GatewayError:
    status = _status(error, is_anonymous=is_anonymous)
    return GatewayError(
        error.message,
        status=status,
        code=error.sqlstate,
        details=error.details,
        hint=error.hint,
        headers={"WWW-Authenticate": "Bearer"} if status == 401 else None,  # noqa: PLR2004 - HTTP's own number
    )


def _status(error: StatementRefused, *, is_anonymous: bool) -> int:
    code = error.sqlstate
    if code == "42501":
        return 401 if is_anonymous else 403
    if code == "21000" and error.message.endswith("requires a WHERE clause"):
        return _BAD_REQUEST
    if code == "22023" and error.message.startswith("role ") and error.message.endswith("does not exist"):
        return 401
    if code.startswith("PT"):
        digits = code[2:]
        return int(digits) if digits.isdigit() and len(digits) == _STATUS_DIGITS and digits >= "200" else 500
    return _STATUSES.get(code, _STATUSES.get(code[:2], _BAD_REQUEST))


def _access(error: AccessRefused) -> GatewayError:
    match error:
        case refusals.UnknownSchema() | refusals.UnknownTable() | refusals.UnknownColumn():
            return _unknown_name(error)
        case refusals.UnknownFunction() | refusals.AmbiguousFunction():
            return _function(error)
        case refusals.NoRelationship() | refusals.AmbiguousRelationship():
            return _relationship(error)
        case refusals.NotSingle() | refusals.TooManyAffected() | refusals.AffectedUncountable():
            return _rows(error)
        case _:
            return _embedding(error)


def _unknown_name(
    error: refusals.UnknownSchema | refusals.UnknownTable | refusals.UnknownColumn,
) -> GatewayError:
    match error:
        case refusals.UnknownSchema(schema, exposed):
            return GatewayError(
                f"Invalid schema: {schema}",
                status=406,
                code="PGRST106",
                hint=f"Only the following schemas are exposed: {', '.join(exposed)}",
            )
        case refusals.UnknownTable(schema, table, similar):
            return GatewayError(
                f"Could not find the table '{schema}.{table}' in the schema cache",
                status=404,
                code="PGRST205",
                hint=similar and f"Perhaps you meant the table '{schema}.{similar}'",
            )
        case refusals.UnknownColumn(table, column):
            return GatewayError(
                f"Could not find the '{column}' column of '{table}' in the schema cache",
                status=400,
                code="PGRST204",
            )
        case _:
            assert_never(error)


def _function(error: refusals.UnknownFunction | refusals.AmbiguousFunction) -> GatewayError:
    if isinstance(error, refusals.UnknownFunction):
        return _unknown_function(error)
    return GatewayError(
        f"Could not choose the best candidate function between: {', '.join(error.signatures)}",
        status=300,
        code="PGRST203",
        hint="Try renaming the parameters or the function itself in the database so function overloading can be resolved",
    )


def _unknown_function(error: refusals.UnknownFunction) -> GatewayError:
    name, given = f"{error.schema}.{error.function}", ", ".join(error.arguments)
    plural = "s" if len(error.arguments) > 1 else ""
    searched = f" with parameter{plural} {given}" if given else " without parameters"
    unnamed = " or with a single unnamed json/jsonb parameter" if error.had_body else ""
    return GatewayError(
        f"Could not find the function {name}{f'({given})' if given else ' without parameters'} in the schema cache",
        status=404,
        code="PGRST202",
        details=f"Searched for the function {name}{searched}{unnamed}, but no matches were found in the schema cache.",
        hint=error.similar and f"Perhaps you meant to call the function {error.schema}.{error.similar}",
    )


def _relationship(error: refusals.NoRelationship | refusals.AmbiguousRelationship) -> GatewayError:
    if isinstance(error, refusals.NoRelationship):
        hinted = f"' using the hint '{error.hint}" if error.hint else ""
        return GatewayError(
            f"Could not find a relationship between '{error.origin}' and '{error.target}' in the schema cache",
            status=400,
            code="PGRST200",
            details=f"Searched for a foreign key relationship between '{error.origin}' and '{error.target}{hinted}' in "
            f"the schema '{error.schema}', but no matches were found.",
        )
    named = ", ".join(f"'{path.target}!{path.constraint}'" for path in error.paths)
    return GatewayError(
        "Could not embed because more than one relationship was found for "
        f"'{error.origin}' and '{error.target}'",
        status=300,
        code=_LISTED,
        details=json.dumps([_described(path) for path in error.paths]),
        hint=f"Try changing '{error.target}' to one of the following: {named}. "
        "Find the desired relationship in the 'details' key.",
    )


def _described(path: refusals.Path) -> Mapping[str, str]:
    def listed(names: Sequence[str]) -> str:
        return f"({', '.join(names)})"

    return {
        "cardinality": "many-to-one" if path.is_to_one else "one-to-many",
        "embedding": f"{path.origin} with {path.target}",
        "relationship": f"{path.constraint} using {path.origin}{listed(path.columns)} and "
        f"{path.target}{listed(path.target_columns)}",
    }


def _rows(
    error: refusals.NotSingle | refusals.TooManyAffected | refusals.AffectedUncountable,
) -> GatewayError:
    match error:
        case refusals.NotSingle(rows):
            return GatewayError(
                "Cannot coerce the result to a single JSON object",
                status=406,
                code="PGRST116",
                details=f"The result contains {rows} rows",
            )
        case refusals.TooManyAffected(rows):
            return GatewayError(
                "Query result exceeds max-affected preference constraint",
                status=400,
                code="PGRST124",
                details=f"The query affects {rows} rows",
            )
        case refusals.AffectedUncountable():
            return GatewayError(
                "Function must return SETOF or TABLE when max-affected preference is used with handling=strict",
                status=400,
                code="PGRST128",
            )
        case _:
            assert_never(error)


def _embedding(error: AccessRefused) -> GatewayError:
    match error:
        case refusals.NotEmbedded(relation):
            return not_embedded(relation)
        case refusals.OrderNotToOne(origin, relation):
            return GatewayError(
                f"A related order on '{relation}' is not possible",
                status=400,
                code="PGRST118",
                details=f"'{origin}' and '{relation}' do not form a many-to-one or one-to-one relationship",
            )
        case refusals.BadEmbedFilter(relation):
            return GatewayError(
                f"Bad operator on the '{relation}' embedded resource",
                status=400,
                code="PGRST120",
                details="Only is null or not is null filters are allowed on embedded resources",
            )
        case refusals.NotSupported(what):
            return GatewayError("Feature not implemented", status=400, code="PGRST127", details=what)
        case _:
            raise error
