"""Routes below `/api/agents` that keep definitions, for the secret key and operators."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from agent_worker.domain.definitions import DefinitionHead, StoredDefinition
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.gateway.agents.bodies import DEFINITION, described, read, read_json
from agent_worker.gateway.agents.callers import operator
from agent_worker.gateway.agents.catalogue import Catalogue, report_of

PROJECT = "default"
"""Clients want one to be named; a database is one."""

By: TypeAlias = Annotated[
    Literal["slug", "id"] | None, Query(description="What the path names; either when nothing is said.")
]


def add(made: APIRouter, catalogue: Catalogue) -> None:
    """Add the routes to those of agents; before any with a parameter in the place of `validate`."""
    _all(made, catalogue)
    _one(made, catalogue)


def _all(made: APIRouter, catalogue: Catalogue) -> None:
    may = [Depends(operator)]

    @made.get("", summary="List agents", dependencies=may, response_class=JSONResponse)
    async def heads() -> JSONResponse:
        """Return `{agents: [{slug, id, name, description, format, createdAt, updatedAt, projectId}]}`."""
        return JSONResponse({"agents": [_head(each) for each in await catalogue.heads()]})

    @made.post(
        "/validate",
        summary="Validate a definition",
        dependencies=may,
        response_class=JSONResponse,
        openapi_extra=described(DEFINITION),
    )
    async def validate(request: Request) -> JSONResponse:
        """Return `{valid, errors, warnings}`, whatever the definition is."""
        report = await report_of(await read_json(request))
        return JSONResponse(report.as_json())

    @made.post(
        "",
        status_code=201,
        summary="Add an agent",
        dependencies=may,
        response_class=JSONResponse,
        openapi_extra=described(DEFINITION),
    )
    async def create(request: Request) -> JSONResponse:
        """Store a definition under its slug, which must be free."""
        body = await read(request, DEFINITION)
        agent = await catalogue.create(body.parts())
        return JSONResponse(_stored(agent), status_code=201)


def _one(made: APIRouter, catalogue: Catalogue) -> None:
    may = [Depends(operator)]

    @made.get("/{agent_id}", summary="Show an agent", dependencies=may, response_class=JSONResponse)
    async def show(agent_id: str, by: By = None) -> JSONResponse:
        """Return `{settings, protocol, prompts, references, id, version}`."""
        agent = await catalogue.find(agent_id, is_slug=by == "slug")
        return JSONResponse({**agent.content, "id": str(agent.id), "version": agent.version})

    @made.patch(
        "/{agent_id}",
        summary="Change an agent",
        dependencies=may,
        response_class=JSONResponse,
        openapi_extra=described(DEFINITION),
    )
    async def change(request: Request, agent_id: str, by: By = None) -> JSONResponse:
        """Store a next version; what is not given stays as it was, and `settings` need no slug."""
        body = await read(request, DEFINITION)
        agent = await catalogue.find(agent_id, is_slug=by == "slug")
        return JSONResponse(_stored(await catalogue.change(agent, body.parts())))

    @made.delete("/{agent_id}", summary="Archive an agent", dependencies=may, response_class=JSONResponse)
    async def archive(agent_id: str, by: By = None) -> JSONResponse:
        """Let no new run find an agent; those that run go on, and adding it again brings it back."""
        agent = await catalogue.find(agent_id, is_slug=by == "slug")
        await catalogue.archive(agent)
        return JSONResponse({"agentId": str(agent.id), "message": f"{agent.slug} is archived."})


def _head(head: DefinitionHead) -> JsonValue:
    return {
        "slug": head.slug,
        "id": str(head.id),
        "name": head.name,
        "description": head.description,
        "format": head.format,
        "createdAt": head.created_at.isoformat(),
        "updatedAt": head.updated_at.isoformat(),
        "projectId": PROJECT,
    }


def _stored(agent: StoredDefinition) -> JsonObject:
    return {"agentId": str(agent.id), "message": f"{agent.slug} is stored in version {agent.version}."}
