"""`/rest/v1/TABLE` and `/rest/v1/rpc/FUNCTION`: parse, run, answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from agent_worker.db.access.access import Access
from agent_worker.db.access.acting import Circumstances
from agent_worker.db.access.query import (
    Answer,
    Call,
    Delete,
    Insert,
    Read,
    Returned,
    Statement,
    Update,
    Wishes,
)
from agent_worker.domain.caller import Caller
from agent_worker.domain.errors import AgentWorkerError, GatewayError
from agent_worker.gateway.requests import caller_of
from agent_worker.gateway.rest import answers
from agent_worker.gateway.rest.bodies import arguments_of, rows_of, text_of
from agent_worker.gateway.rest.errors import body_of, refused
from agent_worker.gateway.rest.media import Media, accepted
from agent_worker.gateway.rest.parameters import Parameters, parameters
from agent_worker.gateway.rest.prefer import Preferences, preferences
from agent_worker.gateway.rest.ranges import narrowed

PREFIX = "/rest/v1"

_SECRET_HEADERS = {"apikey", "authorization", "cookie", "proxy-authorization", "x-api-key"}
_READS = {"GET", "HEAD"}
_TABLE_METHODS = ["GET", "HEAD", "POST", "PATCH", "DELETE", "PUT"]

Handler = Callable[["Asked"], Awaitable[Response]]


class Asked:
    """A request with what its headers and its query string say.

    Args:
        request: As it came.
        caller: Who asks.
        of_call: Whether parameters may be arguments of a function.

    Raises:
        GatewayError: Something in it cannot be read.
    """

    def __init__(self, request: Request, caller: Caller, *, of_call: bool) -> None:
        headers = request.headers
        self.request = request
        self.caller = caller
        self.method = request.method
        self.is_read = request.method in _READS
        self.media: Media = accepted(headers.get("accept"))
        self.prefer: Preferences = preferences(headers.getlist("prefer"))
        self.schema = headers.get("accept-profile" if self.is_read else "content-profile")
        self.parameters: Parameters = parameters(_query(request), of_call=of_call and self.is_read)

    def wishes(self, returned: Returned) -> Wishes:
        """Return what the answer should be like."""
        return Wishes(
            schema=self.schema,
            count=self.prefer.count,
            returned=returned,
            is_single=self.media.is_single,
            strips_nulls=self.media.strips_nulls,
            max_affected=None if self.is_read else self.prefer.max_affected,
            is_undone=self.prefer.is_undone,
        )

    def circumstances(self) -> Circumstances:
        """Return what the database may know of the request; no credentials."""
        headers = {name: value for name, value in self.request.headers.items() if name not in _SECRET_HEADERS}
        return Circumstances(self.method, self.request.url.path, headers)

    async def text(self) -> str:
        """Return the body."""
        return text_of(await self.request.body(), self.request.headers.get("content-type"))


def router(access: Access) -> APIRouter:
    """Return the routes of tables and functions.

    Args:
        access: Runs the statements; its owner starts and stops it.
    """
    routes = Tables(access)
    made = APIRouter(prefix=PREFIX, tags=["rest"])

    async def table(request: Request, table: str) -> Response:
        return await _answered(request, lambda asked: routes.table(asked, table), of_call=False)

    async def function(request: Request, function: str) -> Response:
        return await _answered(request, lambda asked: routes.function(asked, function), of_call=True)

    async def nothing(request: Request, path: str = "") -> Response:
        return await _answered(request, lambda _: _no_such_path(path), of_call=False)

    options: dict[str, Any] = {"response_class": Response, "response_model": None}
    # A route for each method: the OpenAPI document names operations by path and method.
    for method in ("GET", "HEAD", "POST"):
        made.add_api_route("/rpc/{function}", function, methods=[method], **options)
    for method in _TABLE_METHODS:
        made.add_api_route("/{table}", table, methods=[method], **options)
    made.add_api_route("/{path:path}", nothing, methods=_TABLE_METHODS, include_in_schema=False, **options)
    return made


class Tables:
    """What each method means for a table, and for a function.

    Args:
        access: Runs the statements.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    async def table(self, asked: Asked, table: str) -> Response:
        """Answer a request for a table or a view."""
        match asked.method:
            case "GET" | "HEAD":
                return await self._read(asked, table)
            case "POST":
                return await self._insert(asked, table)
            case "PATCH":
                return await self._update(asked, table)
            case "DELETE":
                return await self._delete(asked, table)
            case method:
                raise GatewayError(f"Unsupported HTTP method: {method}", status=405, code="PGRST117")

    async def function(self, asked: Asked, name: str) -> Response:
        """Answer a call of a function."""
        selection = narrowed(asked.parameters.selection, _range(asked))
        if asked.is_read:
            given = asked.parameters.arguments
            call = Call(name, given, frozenset(given), selection=selection, is_read_only=True)
        else:
            text = await asked.text()
            call = Call(name, text, arguments_of(text), body=text, selection=selection)
        returned = Returned.MINIMAL if asked.method == "HEAD" else Returned.REPRESENTATION
        answer = await self._run(asked, call, returned)
        return answers.called(answer, asked.media, asked.prefer, selection.offset)

    async def _read(self, asked: Asked, table: str) -> Response:
        selection = narrowed(asked.parameters.selection, _range(asked))
        returned = Returned.MINIMAL if asked.method == "HEAD" else Returned.REPRESENTATION
        answer = await self._run(asked, Read(table, selection), returned)
        return answers.read(answer, asked.media, asked.prefer, selection.offset)

    async def _insert(self, asked: Asked, table: str) -> Response:
        statement = Insert(
            table,
            rows_of(await asked.text(), asked.parameters.columns),
            selection=asked.parameters.selection,
            duplicates=asked.prefer.resolution,
            conflict=asked.parameters.conflict,
            fills_defaults=asked.prefer.fills_defaults,
        )
        answer = await self._run(asked, statement, asked.prefer.returned or Returned.MINIMAL)
        return answers.inserted(answer, asked.media, asked.prefer, table)

    async def _update(self, asked: Asked, table: str) -> Response:
        statement = Update(
            table,
            rows_of(await asked.text(), asked.parameters.columns),
            where=asked.parameters.where,
            selection=asked.parameters.selection,
            fills_defaults=asked.prefer.fills_defaults,
        )
        answer = await self._run(asked, statement, _without_headers(asked.prefer))
        return answers.changed(answer, asked.media, asked.prefer)

    async def _delete(self, asked: Asked, table: str) -> Response:
        statement = Delete(table, where=asked.parameters.where, selection=asked.parameters.selection)
        answer = await self._run(asked, statement, _without_headers(asked.prefer))
        return answers.deleted(answer, asked.media, asked.prefer)

    async def _run(self, asked: Asked, statement: Statement, returned: Returned) -> Answer:
        return await self._access.run(asked.caller, statement, asked.wishes(returned), asked.circumstances())


async def _answered(request: Request, handle: Handler, *, of_call: bool) -> Response:
    """Answer a request, or say why not."""
    caller = None
    try:
        caller = await caller_of(request)
        return await handle(Asked(request, caller, of_call=of_call))
    except AgentWorkerError as error:
        told = refused(error, caller)
    headers: Mapping[str, str] = {**told.headers, "Proxy-Status": f"PostgREST; error={told.code}"}
    content = b"" if request.method == "HEAD" else body_of(told)
    return Response(
        content, status_code=told.status, headers=headers, media_type="application/json; charset=utf-8"
    )


async def _no_such_path(path: str) -> Response:
    if not path:
        raise GatewayError("Root endpoint metadata is disabled", status=404, code="PGRST126")
    raise GatewayError("Invalid path specified in request URL", status=404, code="PGRST125")


def _query(request: Request) -> str:
    query: bytes = request.scope["query_string"]
    return query.decode("latin-1")


def _range(asked: Asked) -> str | None:
    return asked.request.headers.get("range") if asked.method == "GET" else None


def _without_headers(prefer: Preferences) -> Returned:
    """Return what an update or a delete gives back: it has no Location."""
    is_shown = prefer.returned is Returned.REPRESENTATION
    return Returned.REPRESENTATION if is_shown else Returned.MINIMAL
