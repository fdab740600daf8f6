"""`POST /rest/v1/rpc/NAME` as PostgREST 13 answers it, on a real database.

Statements and bodies follow PostgREST's source (`Query/QueryBuilder.hs`, `Query/PreQuery.hs`, `Error.hs`): arguments
are cast by `json_to_record` with the function's declared types, the role and the claims are set for the transaction,
a stable function runs read only, and a set is cut to `max_rows`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

MAX_ROWS = 1000
"""What a hosted project begins with."""

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; no body for 204."""

    status: int
    body: str


def error(status: int, code: str, message: str, details: str | None = None, hint: str | None = None) -> Reply:
    """Return an error with the four keys that PostgREST's have."""
    parts = {"code": code, "details": details, "hint": hint, "message": message}
    return Reply(status, json.dumps(parts, separators=(",", ":")))


@dataclass(frozen=True, slots=True)
class _Function:
    arguments: Mapping[str, str]
    """Types by name."""
    required: int
    is_volatile: bool
    returns_set: bool
    returns_void: bool


async def call(conn: Connection, name: str, body: bytes, role: str) -> Reply:
    """Call a function of the schema public as a role; `conn` must be outside of a transaction."""
    try:
        given = json.loads(body)
    except ValueError:
        return error(400, "PGRST102", "Empty or invalid json")
    function = await _find(conn, name, set(given))
    if function is None:
        names = ", ".join(sorted(given))
        return error(
            404,
            "PGRST202",
            f"Could not find the function public.{name}({names}) in the schema cache",
            f"Searched for the function public.{name} with parameters {names} or with a single unnamed json/jsonb "
            "parameter, but no matches were found in the schema cache.",
        )
    try:
        return await _run(conn, name, function, body.decode(), role)
    except psycopg.Error as exc:
        return _refusal(exc, is_signed_in=role != "anon")


async def _find(conn: Connection, name: str, given: set[str]) -> _Function | None:
    cursor = await conn.execute(
        """
        SELECT coalesce(p.proargnames, '{}'), array(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) t),
               p.pronargdefaults, p.provolatile, p.proretset, p.prorettype = 'void'::regtype
        FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.proname = %s
        """,
        [name],
    )
    for names, types, defaults, volatility, returns_set, returns_void in await cursor.fetchall():
        arguments = dict(zip(names, types, strict=False))
        required = list(arguments)[: len(types) - defaults]
        if given <= set(arguments) and given >= set(required):
            return _Function(
                {argument: kind for argument, kind in arguments.items() if argument in given},
                len(required),
                volatility == "v",
                returns_set,
                returns_void,
            )
    return None


async def _run(conn: Connection, name: str, function: _Function, body: str, role: str) -> Reply:
    claims = json.dumps({"role": role})
    async with conn.transaction():
        if not function.is_volatile:
            await conn.execute("SET TRANSACTION READ ONLY")
        await conn.execute(
            "SELECT set_config('search_path', 'public', true), set_config('role', %s, true), "
            "set_config('request.jwt.claims', %s, true)",
            [role, claims],
        )
        cursor = await conn.execute(_statement(name, function), {"body": body, "max_rows": MAX_ROWS})
        row = await cursor.fetchone()
    assert row is not None
    return Reply(204, "") if function.returns_void else Reply(200, row[0])


def _statement(name: str, function: _Function) -> sql.Composed:
    names = [sql.Identifier(argument) for argument in function.arguments]
    columns = sql.SQL(", ").join(
        # format_type() writes the type as SQL reads it.
        sql.SQL("{} {}").format(argument, sql.SQL(cast("LiteralString", kind)))
        for argument, kind in zip(names, function.arguments.values(), strict=True)
    )
    passed = sql.SQL(", ").join(sql.SQL("{0} := pgrst_body.{0}").format(argument) for argument in names)
    arguments = (
        sql.SQL(
            ", LATERAL (SELECT * FROM json_to_record(pgrst_payload.json_data) AS _({})) pgrst_body"
        ).format(columns)
        if names
        else sql.SQL("")
    )
    call_ = sql.SQL("{}({})").format(sql.Identifier("public", name), passed)
    if function.returns_set:
        body = sql.SQL("coalesce(json_agg(_postgrest_t.pgrst_scalar), '[]')")
    else:
        body = sql.SQL("coalesce(json_agg(_postgrest_t.pgrst_scalar) -> 0, 'null')")
    return sql.SQL("""
        WITH pgrst_source AS (
          SELECT pgrst_call.pgrst_scalar
          FROM (SELECT %(body)s::json AS json_data) pgrst_payload {arguments},
          LATERAL (SELECT {call} AS pgrst_scalar) pgrst_call
        )
        SELECT ({body})::text FROM (SELECT * FROM pgrst_source LIMIT %(max_rows)s) _postgrest_t
    """).format(arguments=arguments, call=call_, body=body)


def _refusal(exc: psycopg.Error, *, is_signed_in: bool) -> Reply:
    code = exc.sqlstate
    if code is None or code.startswith("08"):
        return error(503, "PGRST001", "Database connection error. Retrying the connection.", str(exc))
    return error(
        _status(code, is_signed_in=is_signed_in),
        code,
        exc.diag.message_primary or "",
        exc.diag.message_detail,
        exc.diag.message_hint,
    )


_STATUSES = {
    **dict.fromkeys(("23503", "23505"), 409),
    **dict.fromkeys(("42883", "42P01"), 404),
    "25006": 405,
    "57P01": 503,
    "P0001": 400,
    **dict.fromkeys(("08", "53"), 503),
    **dict.fromkeys(("25", "40", "54", "55", "57", "P0", "XX"), 500),
}


def _status(code: str, *, is_signed_in: bool) -> int:
    if code == "42501":
        return 403 if is_signed_in else 401
    if code.startswith("PT") and code[2:].isdigit():
        return int(code[2:])
    return _STATUSES.get(code, _STATUSES.get(code[:2], 400))
