"""Which schemas OpenAI's strict mode takes."""

from __future__ import annotations

from typing import Any

import pytest

from agent_worker.llm.json_schema import is_strict, schema_name


def closed(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        closed(),
        closed(name={"type": "string"}, age={"type": ["integer", "null"], "minimum": 0}),
        closed(points={"type": "array", "items": closed(x={"type": "number"}), "maxItems": 3}),
        closed(either={"anyOf": [{"type": "string"}, closed(x={"type": "number"})]}),
        {**closed(tree={"$ref": "#/$defs/tree"}), "$defs": {"tree": closed(size={"type": "integer"})}},
        closed(type={"type": "string", "enum": ["a", "b"]}),
    ],
)
def test_closed_schemas_are_strict(schema: dict[str, Any]) -> None:
    assert is_strict(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {**closed(a={"type": "string"}), "required": []},
        {**closed(a={"type": "string"}), "additionalProperties": True},
        closed(a={"type": "string", "maxLength": 3}),
        closed(a={"type": "object", "properties": {}}),
        closed(a={"allOf": [{"type": "string"}]}),
        closed(a=True),
        closed(a={}),
        closed(a={"description": "anything"}),
        {**closed(a={"type": "string"}), "$defs": {"b": {"type": "object"}}},
        closed(a={"type": "array", "items": {"type": "object"}}),
    ],
)
def test_open_or_richer_schemas_are_not(schema: dict[str, Any]) -> None:
    assert not is_strict(schema)


@pytest.mark.parametrize(
    ("title", "name"),
    [("Town", "Town"), ("a-b_c", "a-b_c"), ("two words", "answer"), ("x" * 65, "answer"), (7, "answer")],
)
def test_a_title_becomes_the_name_when_providers_take_it(title: object, name: str) -> None:
    assert schema_name({"title": title}) == name  # type: ignore[dict-item]
