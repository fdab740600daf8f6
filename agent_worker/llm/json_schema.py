"""Facts about JSON Schemas that providers care about; pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from agent_worker.domain.json import JsonObject, JsonValue

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STRICT_KEYWORDS = frozenset(
    {
        *("$schema", "$defs", "$ref", "title", "description", "type", "enum", "const", "anyOf"),
        *("properties", "required", "additionalProperties", "items", "minItems", "maxItems"),
        *("pattern", "format", "multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    }
)
_TYPING_KEYWORDS = frozenset({"type", "enum", "const", "anyOf", "$ref"})


def schema_name(schema: JsonObject) -> str:
    """Return the schema's title when providers accept it as a name, else `answer`."""
    title = schema.get("title")
    return title if isinstance(title, str) and _NAME.fullmatch(title) else "answer"


def is_strict(schema: JsonObject) -> bool:
    """Tell whether OpenAI's strict mode takes the schema.

    Strict mode guarantees the shape, but refuses (HTTP 400) a schema that uses other keywords, leaves an object open or
    a type open, or has an optional property: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas.
    Other schemas are sent without it, as a guide to the model.
    """
    if not schema.keys() <= _STRICT_KEYWORDS or schema.keys().isdisjoint(_TYPING_KEYWORDS):
        return False
    properties = schema.get("properties")
    if schema.get("type") == "object" or properties is not None:
        required = schema.get("required")
        if not isinstance(properties, Mapping) or not isinstance(required, Sequence):
            return False
        if schema.get("additionalProperties") is not False or set(required) != set(properties):
            return False
    return all(isinstance(child, Mapping) and is_strict(child) for child in _children(schema))


def _children(schema: JsonObject) -> list[JsonValue]:
    children: list[JsonValue] = []
    for keyword in ("properties", "$defs"):
        named = schema.get(keyword)
        if isinstance(named, Mapping):
            children.extend(named.values())
    if "items" in schema:
        children.append(schema["items"])
    options = schema.get("anyOf")
    if isinstance(options, Sequence):
        children.extend(options)
    return children
