"""Types become JSON Schemas, and given inputs are held to them."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agent_worker.domain.errors import InvalidPayload
from agent_worker.llm.json_schema import is_strict
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.types.inputs import check_inputs, complete_inputs
from agent_worker.pipelines.types.schema import drop_absent, parameters_schema, response_schema, value_schema
from agent_worker.pipelines.types.shapes import ObjectType, Shape, parse_shape
from tests.pipelines.sources import definition, errors, worker

TYPES = """
types:
  Price:
    amount: {type: number, description: In cents.}
    currency: {type: string, enum: [EUR, USD]}
  Product:
    description: Something for sale.
    type: {type: string, const: product}
    price: {type: Price}
    tags: {type: array, items: {type: string}, optional: true}
    notes: {type: string, optional: true}
  Category:
    type: {type: string, const: category}
    names: {type: 'string[]'}
  Hit:
    anyOf: [Product, Category]
    discriminator: type
  Hits:
    type: array
    items: {type: Hit}
    description: The best first.
  Answer:
    hits: {type: Hits, description: All.}
    best: {type: Product, optional: true}
"""
INPUTS = """
input:
  TOPIC: {type: string}
  COUNT: {type: integer, optional: true}
  DEPTH: {type: string, enum: [brief, 'no'], default: brief}
  HITS: {type: Hits, optional: true, default: []}
  FILES: {type: 'file[]', optional: true}
  ANY: {type: unknown, optional: true}
variables:
  ANSWER: {type: Answer}
steps:
  Open:
    block: start-thread
    model: echo/echo
    system: system
    input: [TOPIC, COUNT, DEPTH, HITS, FILES, ANY]
  Answer:
    block: next-message
    thread: Open
    responseType: Answer
    output: ANSWER
"""


@pytest.fixture(scope="module")
def typed() -> Definition:
    return definition(TYPES + INPUTS)


def answer_type(typed: Definition) -> ObjectType:
    declared = typed.types["Answer"]
    assert isinstance(declared, ObjectType)
    return declared


PRODUCT = {"type": "product", "price": {"amount": 5, "currency": "EUR"}}
CATEGORY = {"type": "category", "names": ["a"]}


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ([], True),
        ([PRODUCT, CATEGORY], True),
        ([{**PRODUCT, "tags": ["x"]}], True),
        ([{**PRODUCT, "tags": [1]}], False),
        ([{**PRODUCT, "more": 1}], False),
        ([{"type": "category", "price": 5}], False),
        ([{**PRODUCT, "price": {"amount": True, "currency": "EUR"}}], False),
        (PRODUCT, False),
    ],
)
def test_values_are_held_to_declared_types(typed: Definition, value: Any, *, fits: bool) -> None:
    schema = value_schema(Shape("Hits"), typed.types)
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(value) is fits


def test_an_answer_schema_is_one_that_strict_modes_take(typed: Definition) -> None:
    schema = response_schema(answer_type(typed), typed.types)
    Draft202012Validator.check_schema(schema)
    assert is_strict(schema)
    assert schema["title"] == "Answer"
    assert schema["required"] == ["hits", "best"]
    assert schema["properties"]["hits"] == {"anyOf": [{"$ref": "#/$defs/Hits"}], "description": "All."}


def test_a_type_that_may_be_anything_is_not_strict() -> None:
    typed = definition(worker(sections="types: {T: {a: {type: unknown}}}\n"))
    declared = typed.types["T"]
    assert isinstance(declared, ObjectType)
    assert not is_strict(response_schema(declared, typed.types))


def test_nulls_that_stand_for_absent_properties_are_taken_out(typed: Definition) -> None:
    answered = {"hits": [{**PRODUCT, "tags": None, "notes": None}, CATEGORY], "best": None}
    schema = response_schema(answer_type(typed), typed.types)
    assert Draft202012Validator(schema).is_valid(answered)
    assert drop_absent(answered, answer_type(typed), typed.types) == {"hits": [PRODUCT, CATEGORY]}


def test_parameters_of_a_tool_become_an_object() -> None:
    tool = definition(
        worker(
            sections="""
            tools:
              find:
                description: Find
                parameters:
                  query: {type: string, description: What for.}
                  limit: {type: integer, optional: true}
            """
        )
    ).tools["find"]
    assert parameters_schema(tool.parameters, {}) == {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What for."},
            "limit": {"type": "integer"},
        },
        "required": ["query"],
        "additionalProperties": False,
    }


def test_types_that_double_at_each_level_make_a_small_schema() -> None:
    """Written out in full this one would have 2^30 parts."""
    lines = [f"  T{n}:\n    a: {{type: T{n + 1}}}\n    b: {{type: T{n + 1}}}" for n in range(30)]
    sections = "types:\n" + "\n".join(lines) + "\n  T30:\n    a: {type: string}\n"
    typed = definition(worker(sections=sections))
    assert len(str(value_schema(Shape("T0"), typed.types))) < 10_000


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("string", Shape("string")),
        ("Product[]", Shape("array", items=Shape("Product"))),
        ("string[][]", None),
        ("[]", None),
        ("", None),
        ("a[0]", None),
    ],
)
def test_type_expressions(text: str, shape: Shape | None) -> None:
    assert parse_shape(text) == shape


# Inputs


def test_what_is_not_given_gets_its_default_or_the_word_none(typed: Definition) -> None:
    assert complete_inputs(typed.inputs, {"TOPIC": "x", "COUNT": None}, typed.types) == {
        "TOPIC": "x",
        "COUNT": "NONE",
        "DEPTH": "brief",
        "HITS": [],
        "FILES": "NONE",
        "ANY": "NONE",
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["$.TOPIC is required"]),
        ({"TOPIC": None}, ["$.TOPIC is required"]),
        ({"TOPIC": 7}, ["$.TOPIC must be text, here it is a number"]),
        ({"TOPIC": "x", "COUNT": 1.5}, ["$.COUNT must be a whole number, here it is a number"]),
        ({"TOPIC": "x", "COUNT": True}, ["$.COUNT must be a whole number, here it is a truth value"]),
        ({"TOPIC": "x", "DEPTH": "deep"}, ["$.DEPTH must be one of brief, no"]),
        ({"TOPIC": "x", "TOPICS": "y"}, ["$ has no input 'TOPICS'; did you mean 'TOPIC'?"]),
        ({"TOPIC": "x", "HITS": [{"type": "x"}]}, ["$.HITS[0] fits none of the variants of its type"]),
        (
            {"TOPIC": "x", "FILES": [{"id": "1", "mediaType": 5}]},
            ["$.FILES[0] lacks url", "$.FILES[0].mediaType must be text, here it is a number"],
        ),
    ],
)
def test_mismatches_name_the_place_and_what_would_fit(
    typed: Definition, given: dict[str, Any], expected: list[str]
) -> None:
    assert sorted(map(str, check_inputs(typed.inputs, given, typed.types))) == sorted(expected)


def test_inputs_that_do_not_fit_fail_with_the_path_in_the_payload(typed: Definition) -> None:
    with pytest.raises(InvalidPayload) as caught:
        complete_inputs(typed.inputs, {"TOPIC": 7, "COUNT": "x"}, typed.types, path="$.input")
    assert caught.value.path == "$.input.TOPIC"
    assert "$.input.COUNT must be a whole number" in str(caught.value)


# Declarations


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ("thing: {a: {type: string}}", "types.thing: the name of a type is PascalCase; 'thing' is not"),
        ("T: {a: {type: strin}}", "types.T.a.type: there is no type 'strin'; did you mean 'string'?"),
        ("T: {a: {type: object}}", "types.T.a.type: there is no type object; define one under types, or use unknown"),
        ("T: {a: {type: array}}", "types.T.a: needs the field 'items', because its type is array"),
        ("T: {type: array}", "types.T: needs the field 'items', because its type is array"),
        ("T: {a: {type: string, items: {type: string}}}", "types.T.a.items: items belong to type: array"),
        ("T: {a: {type: integer, enum: [x]}}", "types.T.a.enum: an enum needs type: string, here it is integer"),
        ("T: {a: {type: string, enum: [1]}}", "types.T.a.enum[0]: must be text, here it is the number 1"),
        ("T: {a: {type: T}}", "types.T: the type contains itself: T → T"),
        ("T: {a: {type: 'U[]'}}\n  U: {a: {type: T}}", "types.T: the type contains itself: T → U → T"),
        ("T: {a: {type: string, minItems: 1}}", "types.T.a.minItems: there is no field 'minItems' here; did you mean 'items'?"),
        ("T: {}", "types.T: a type needs a property"),
        ("T: {anyOf: [U], discriminator: k}\n  U: {k: {type: string, const: u}}",
         "types.T.anyOf: a union has two variants or more"),
        ("T: {anyOf: [U, V], discriminator: k}\n  U: {k: {type: string, const: u}}\n  V: {k: {type: string, const: u}}",
         "types.T.anyOf[1]: 'V' has the same const as 'U'; each variant needs its own"),
        ("T: {anyOf: [U, V], discriminator: k}\n  U: {k: {type: string, const: u}}\n  V: {k: {type: string}}",
         "types.T.anyOf[1]: 'V' has no const at its property 'k'"),
        ("T: {anyOf: [U, V]}\n  U: {k: {type: string, const: u}}\n  V: {k: {type: string, const: v}}",
         "types.T: needs the field 'discriminator'"),
    ],
)  # fmt: skip
def test_mistakes_in_types_are_found(types: str, expected: str) -> None:
    assert expected in errors(worker(sections=f"types:\n  {types}\n"))
