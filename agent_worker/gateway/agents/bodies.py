"""What clients send: JSON that is read once the caller is known, and checked into a typed object."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, NoReturn, TypeAlias, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from starlette.requests import Request

from agent_worker.domain.errors import GatewayError
from agent_worker.domain.json import JsonObject
from agent_worker.domain.json import JsonValue as AnyJson
from agent_worker.gateway.agents.refusals import invalid

MOST_RESULTS = 1000
_LONGEST_ID = 512

Read = TypeVar("Read")


class _Body(BaseModel):
    """Fields that nobody here needs, such as `dynamicToolSchemas` or the echo of a call, are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class Start(_Body):
    """Run an agent; `trigger` is what browsers' clients call it."""

    type: Literal["start", "trigger"]
    trigger_name: str | None = Field(
        default=None,
        alias="triggerName",
        description="Of an interactive agent, which one; workers have none.",
    )
    input: dict[str, JsonValue] | None = Field(default=None, description="Values of the definition's inputs.")


class ToolResult(_Body):
    """What a tool has returned, or why it has not."""

    tool_call_id: str = Field(alias="toolCallId", min_length=1, max_length=_LONGEST_ID)
    result: JsonValue = None
    error: str | None = None

    def as_json(self) -> JsonObject:
        """Return `{toolCallId, result}`, or `{toolCallId, error}`."""
        came_of: JsonObject = {"result": self.result} if self.error is None else {"error": self.error}
        return {"toolCallId": self.tool_call_id, **came_of}


class Continue(_Body):
    """Go on with the results of tools that the client has run."""

    type: Literal["continue"]
    execution_id: UUID = Field(alias="executionId")
    tool_results: list[ToolResult] = Field(alias="toolResults", min_length=1, max_length=MOST_RESULTS)


class Definition(_Body):
    """A definition, or the parts of it that change; what is in them is validated as a whole."""

    settings: dict[str, JsonValue] | None = None
    protocol: str | None = Field(default=None, description="The YAML document.")
    prompts: list[JsonValue] | None = Field(default=None, description="[{name, content}]")
    references: list[JsonValue] | None = Field(default=None, description="[{name, description, content}]")

    def parts(self) -> dict[str, JsonValue]:
        """Return what was given, in the wire form."""
        return self.model_dump(exclude_none=True)


Command: TypeAlias = Annotated[Start | Continue, Field(discriminator="type")]

COMMAND: TypeAdapter[Start | Continue] = TypeAdapter(Command)
DEFINITION: TypeAdapter[Definition] = TypeAdapter(Definition)


async def read(request: Request, wanted: TypeAdapter[Read]) -> Read:
    """Return a request's body.

    Raises:
        GatewayError: 400, it is no JSON, or does not fit; names the JSON path.
    """
    parsed = await read_json(request)
    try:
        return wanted.validate_python(parsed)
    except ValidationError as exc:
        raise _mismatch(exc) from exc
    except RecursionError:
        raise invalid("$ is nested too deeply") from None


async def read_json(request: Request) -> AnyJson:
    """Return a request's body, whatever it says.

    Raises:
        GatewayError: 400, it is no JSON.
    """
    try:
        parsed: AnyJson = json.loads(await request.body(), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise invalid("The body is no JSON.") from None
    return parsed


def described(wanted: TypeAdapter[Any]) -> dict[str, Any]:
    """Return what an OpenAPI operation says of such a body."""
    schema = wanted.json_schema(mode="validation")
    schema = _inlined(schema, schema.get("$defs", {}))
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _mismatch(error: ValidationError) -> GatewayError:
    """Say where the first mistake is; steps into a union's member are no part of the path."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        return invalid("$.type must be start, trigger or continue")
    steps = (
        first["loc"][1:] if first["loc"][:1] in {("start",), ("trigger",), ("continue",)} else first["loc"]
    )
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return invalid(f"${path}: {first['msg']}")


def _inlined(schema: Any, known: dict[str, Any]) -> Any:
    """Put what a schema refers to in its place: an operation has no `$defs` of its own."""
    match schema:
        case {"$ref": str(reference), **_rest} if reference.startswith("#/$defs/"):
            name = reference.rpartition("/")[2]
            return {} if name == "JsonValue" else _inlined(known[name], known)
        case dict():
            kept = {name: each for name, each in schema.items() if name not in {"$defs", "discriminator"}}
            return {name: _inlined(each, known) for name, each in kept.items()}
        case list():
            return [_inlined(each, known) for each in schema]
        case _:
            return schema
