"""Schemas come from clients: wrong ones are named, hostile ones are harmless."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from agent_worker.domain.errors import InvalidPayload, ProcessorError
from agent_worker.processors._structured import AnswerSchema


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "town"},
        {"type": "object", "properties": 7},
        {"type": "object", "required": "city"},
        {"type": "string", "minLength": -1},
        {"$ref": "https://example.com/schema.json"},
        {"properties": {"a": {"$ref": "other.json#/x"}}},
        {"properties": {"a": {"pattern": "(?=ahead)"}}},
        {"properties": {"a": {"pattern": "("}}},
        {"patternProperties": {"^a": {"type": "string"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "town"},
    ],
)
def test_a_schema_that_is_refused_names_response_format(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidPayload) as caught:
        AnswerSchema(schema)
    assert caught.value.path == "$.response_format"


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer", "minimum": 1}, 1, 0),
        ({"type": "string", "pattern": "^[0-9]{3}$"}, "007", "7"),
        ({"pattern": "^[0-9]{3}$"}, 7, "7"),
        ({"properties": {"pattern": {"type": "string"}}}, {"pattern": "("}, {"pattern": 1}),
        ({"$defs": {"n": {"type": "number"}}, "items": {"$ref": "#/$defs/n"}}, [1, 2.5], ["1"]),
        ({"properties": {"child": {"$ref": "#"}}, "type": "object"}, {"child": {"child": {}}}, {"child": 1}),
        (
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "items": [{"type": "string"}],
                "additionalItems": False,
            },
            ["a"],
            ["a", "b"],
        ),
        ({"$schema": "https://example.com/my-own", "type": "string"}, "a", 1),
        ({"$schema": 7, "type": "string"}, "a", 1),
    ],
)
def test_answers_are_checked(schema: dict[str, Any], good: object, bad: object) -> None:
    if schema.get("$schema") == 7:
        with pytest.raises(InvalidPayload):
            AnswerSchema(schema)
        return
    answer_schema = AnswerSchema(schema)

    assert answer_schema.read(json.dumps(good), "stop") == good
    with pytest.raises(ProcessorError) as caught:
        answer_schema.read(json.dumps(bad), "stop")
    assert caught.value.code == "invalid_model_output"


def test_an_error_tells_where_the_answer_is_wrong() -> None:
    schema = AnswerSchema({"properties": {"ages": {"items": {"type": "integer"}}}})

    with pytest.raises(ProcessorError) as caught:
        schema.read('{"ages": [1, "two"]}', "stop")
    assert str(caught.value) == "The model's answer does not fit the schema: $.ages[1] breaks its 'type'."


@pytest.mark.parametrize("answer", ["", "{", "NaN", '{"a": Infinity}', "[" * 100_000])
def test_what_is_no_json_is_retryable(answer: str) -> None:
    with pytest.raises(ProcessorError) as caught:
        AnswerSchema({}).read(answer, "stop")
    assert (caught.value.code, caught.value.retryable) == ("invalid_model_output", True)


def test_a_hostile_pattern_takes_no_time() -> None:
    schema = AnswerSchema({"type": "string", "pattern": "^(a+)+$"})
    begin = time.perf_counter()

    with pytest.raises(ProcessorError):
        schema.read(json.dumps("a" * 5_000 + "!"), "stop")
    assert time.perf_counter() - begin < 20, "backtracking would take longer than the universe"


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "#/$defs/missing"},
        {"$id": "http://x/", "$ref": "#nowhere"},
    ],
)
def test_references_that_lead_nowhere_are_the_requests_fault(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidPayload):
        AnswerSchema(schema).read("{}", "stop")


def test_any_object_will_do_for_json_object() -> None:
    schema = AnswerSchema.from_response_format({"type": "json_object"})

    assert schema is not None
    assert schema.read('{"a": 1}', "stop") == {"a": 1}
    with pytest.raises(ProcessorError):
        schema.read("[]", "stop")
