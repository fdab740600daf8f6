"""Routes below `/api/agents` that run agents: read the request, ask, print."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from agent_worker.domain.caller import Caller
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.task import TaskStatus
from agent_worker.gateway.agents import definition_routes
from agent_worker.gateway.agents.bodies import COMMAND, Continue, Start, described, read
from agent_worker.gateway.agents.callers import signed_in
from agent_worker.gateway.agents.catalogue import Catalogue
from agent_worker.gateway.agents.reading import Reader
from agent_worker.gateway.agents.refusals import invalid
from agent_worker.gateway.agents.running import Execution, Running, checked_key, outlives_connections
from agent_worker.gateway.agents.streams import Streams
from agent_worker.gateway.refusals import AGENTS_PATH
from agent_worker.pipelines.telling.legs import Audience

PREFIX = f"{AGENTS_PATH}/agents"

_MOST_DIGITS = 10
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Server-sent events.", "content": {"text/event-stream": {}}}
}

Asking: TypeAlias = Annotated[Caller, Depends(signed_in)]
Key: TypeAlias = Annotated[str | None, Header(alias="Idempotency-Key")]


def router(catalogue: Catalogue, running: Running, streams: Streams) -> APIRouter:
    """Return all routes of agents: those of runs, and those of definitions."""
    made = APIRouter(prefix=PREFIX, tags=["agents"])
    definition_routes.add(made, catalogue)
    _commands(made, _Commands(catalogue, running, streams))
    _executions(made, running, streams)
    return made


class _Commands:
    """Start a run or go on with one, and answer with its stream."""

    def __init__(self, catalogue: Catalogue, running: Running, streams: Streams) -> None:
        self._catalogue = catalogue
        self._running = running
        self._streams = streams

    async def obey(
        self, request: Request, caller: Caller, agent_id: str, key: str | None, audience: Audience
    ) -> Response:
        self._streams.require_room(caller)
        match await read(request, COMMAND):
            case Start() as command:
                return await self._start(caller, agent_id, command, checked_key(key), audience)
            case Continue() as command:
                return await self._continue(caller, agent_id, command, audience)

    async def _start(
        self, caller: Caller, agent_id: str, command: Start, key: str | None, audience: Audience
    ) -> Response:
        agent = await self._catalogue.find(agent_id)
        run_id = await self._running.start(
            caller, agent, command.input or {}, trigger=command.trigger_name, key=key
        )
        reader = Reader(run_id, audience, extent="leg")
        headers = {"Content-Location": f"{PREFIX}/{agent.slug}/executions/{run_id}"}
        return self._streams.answer(caller, reader, is_owned=key is None, headers=headers)

    async def _continue(
        self, caller: Caller, agent_id: str, command: Continue, audience: Audience
    ) -> Response:
        execution = await self._running.find(caller, agent_id, str(command.execution_id))
        cursor = await self._running.go_on(caller, execution, command.tool_results)
        reader = Reader(execution.id, audience, cursor=cursor, extent="leg")
        return self._streams.answer(caller, reader, is_owned=not outlives_connections(execution.id))


def _commands(made: APIRouter, commands: _Commands) -> None:
    more = described(COMMAND)

    @made.post(
        "/{agent_id}/execute", summary="Run a worker, for a server", responses=_STREAM, openapi_extra=more
    )
    async def execute(request: Request, caller: Asking, agent_id: str, key: Key = None) -> Response:
        """Start a run or go on with one; tools without a handler are asked for with `tool-request`."""
        return await commands.obey(request, caller, agent_id, key, "server")

    @made.post(
        "/{agent_id}/stream", summary="Run a worker, for a browser", responses=_STREAM, openapi_extra=more
    )
    async def stream(request: Request, caller: Asking, agent_id: str, key: Key = None) -> Response:
        """Start a run or go on with one; tools without a handler are asked for with `client-tool-request`."""
        return await commands.obey(request, caller, agent_id, key, "browser")


def _executions(made: APIRouter, running: Running, streams: Streams) -> None:
    @made.get("/{agent_id}/executions/{execution_id}", summary="Show a run", response_class=JSONResponse)
    async def look(caller: Asking, agent_id: str, execution_id: str) -> JSONResponse:
        """Return `{executionId, agentId, status, cursor, output?, error?, usage?}`."""
        execution = await running.find(caller, agent_id, execution_id)
        return JSONResponse(execution.as_json())

    @made.get(
        "/{agent_id}/executions/{execution_id}/events",
        summary="Read a run from a cursor on",
        responses=_STREAM,
    )
    async def events(  # noqa: PLR0917 - FastAPI passes them by name
        request: Request,
        caller: Asking,
        agent_id: str,
        execution_id: str,
        cursor: Annotated[str | None, Query(description="Number of the last event that was read.")] = None,
        audience: Audience = "server",
        last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
    ) -> Response:
        """Return what follows a cursor as a stream, or with `Accept: application/json` what there is now."""
        execution = await running.find(caller, agent_id, execution_id)
        reader = Reader(execution.id, audience, cursor=_cursor(last_event_id or cursor))
        if _wants_json(request):
            return JSONResponse(await _poll(caller, streams, reader, execution))
        streams.require_room(caller)
        return streams.answer(caller, reader, is_owned=False)

    @made.post(
        "/{agent_id}/executions/{execution_id}/cancel", summary="Stop a run", response_class=JSONResponse
    )
    async def cancel(caller: Asking, agent_id: str, execution_id: str) -> JSONResponse:
        """Return `{executionId, status}`: `cancelled`, or `processing` until its worker has stopped it."""
        execution = await running.find(caller, agent_id, execution_id)
        status = await running.cancel(caller, execution)
        return JSONResponse({"executionId": str(execution.id), "status": str(status)})


async def _poll(caller: Caller, streams: Streams, reader: Reader, execution: Execution) -> JsonObject:
    """Return `{events, cursor, status}`: what there is behind the cursor, and whether more will come by itself."""
    told, page = await streams.read_once(caller, reader)
    events: list[JsonValue] = [event for each in told for event in each.events]
    cursor = max(reader.position, reader.cursor)
    status = execution.run.status if page is None else page.status
    match status:
        case _ if page is not None and not page.is_all:
            state = "streaming"
        case TaskStatus.COMPLETED | TaskStatus.WAITING:
            state = "idle"
        case TaskStatus.FAILED | TaskStatus.CANCELLED:
            state = "error"
        case _:
            state = "streaming"
    return {"events": events, "cursor": cursor, "status": state}


def _cursor(text: str | None) -> int:
    if text is None:
        return 0
    if not text.isascii() or not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise invalid("cursor and Last-Event-ID are numbers of events")
    return int(text)


def _wants_json(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "text/event-stream" not in accepted
