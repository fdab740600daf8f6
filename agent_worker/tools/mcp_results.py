"""From what an MCP server sends to JSON: its tools, and what they answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jsonschema import Draft202012Validator, SchemaError

from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.tools.registry import MAX_RESULT_BYTES

if TYPE_CHECKING:
    from mcp.types import CallToolResult, Tool

MAX_TOOLS = 256
MAX_TOOL_BYTES = 64 * 1024
"""Largest description of one tool, its schema included; the model would read it in every round."""

_LONGEST_NAME = 64
_LONGEST_ERROR = 2000
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class McpTool:
    """A tool of a server.

    Attributes:
        name: `server__tool` in letters that providers of models accept.
        original: What the server calls it.
        description: When and how to use it.
        parameters: JSON Schema (type object) of the arguments.
    """

    name: str
    original: str
    description: str
    parameters: JsonObject

    def as_json(self) -> JsonObject:
        """Return `{name, original, description, parameters}`."""
        return {
            "name": self.name,
            "original": self.original,
            "description": self.description,
            "parameters": self.parameters,
        }

    @classmethod
    def read(cls, stored: JsonObject) -> McpTool:
        """Return what `as_json` wrote."""
        parameters = stored["parameters"]
        return cls(
            str(stored["name"]),
            str(stored["original"]),
            str(stored["description"]),
            parameters if isinstance(parameters, Mapping) else {},
        )


def read_tool(server: str, tool: Tool) -> McpTool:
    """Return a tool as it can be given to models.

    Raises:
        ValueError: It cannot: its name is too long, or its schema is none, looks things up elsewhere, or is too large.
    """
    name = f"{server}__{_UNFIT.sub('_', tool.name)}"
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"its name has more than {_LONGEST_NAME} letters")
    parameters: JsonObject = {"properties": {}, **tool.input_schema}
    found = McpTool(name, tool.name, (tool.description or tool.title or tool.name).strip(), parameters)
    try:
        if len(json.dumps(found.as_json())) > MAX_TOOL_BYTES:
            raise ValueError(f"its description has more than {MAX_TOOL_BYTES:,} bytes")
        Draft202012Validator.check_schema(dict(parameters))
    except (SchemaError, RecursionError) as error:
        raise ValueError("its parameters are no JSON Schema") from error
    if parameters.get("type") != "object":
        raise ValueError("its parameters are no object")
    if any(not reference.startswith("#") for reference in _references(parameters)):
        raise ValueError("its schema refers to something outside")
    return found


def read_result(result: CallToolResult) -> JsonValue:
    """Return a result as JSON.

    Returns:
        The structured content where there is some, since its text says the same; else the text. Where there is more than
        text, such as pictures, a list of `{type: "text", text}`, `{type: "image" | "audio", data, mimeType}` (base64),
        `{type: "resource", resource}` and `{type: "resource_link", uri, …}`; structured content comes first in it, as
        `{type: "structured", value}`.

    Raises:
        ValueError: It is longer than `MAX_RESULT_BYTES`, or no JSON.
    """
    value = _value(result)
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
    except (TypeError, RecursionError) as error:
        raise ValueError("is no JSON") from error
    if size > MAX_RESULT_BYTES:
        raise ValueError(f"has more than {MAX_RESULT_BYTES:,} bytes")
    return value


def read_failure(result: CallToolResult) -> str:
    """Return what a tool says of its failure, cut to 2,000 characters."""
    return _text(_blocks(result))[:_LONGEST_ERROR] or "no reason given"


def _value(result: CallToolResult) -> JsonValue:
    blocks = _blocks(result)
    others = [block for block in blocks if block.get("type") != "text"]
    structured: JsonValue = result.structured_content
    if structured is None:
        return blocks if others else _text(blocks)
    return [{"type": "structured", "value": structured}, *others] if others else structured


def _blocks(result: CallToolResult) -> list[JsonObject]:
    return [
        block.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"meta"})
        for block in result.content
    ]


def _text(blocks: Sequence[JsonObject]) -> str:
    return "\n".join(str(block["text"]) for block in blocks if block.get("type") == "text")


def _references(schema: JsonValue) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in {"$ref", "$dynamicRef"} and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(schema, Sequence) and not isinstance(schema, str):
        for item in schema:
            yield from _references(item)
