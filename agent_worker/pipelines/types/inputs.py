"""Whether given values fit the inputs of a definition, and what stands in for those that are not given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from agent_worker.domain.errors import InvalidPayload
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.definition.declarations import Input
from agent_worker.pipelines.problems import quoted, suggestion
from agent_worker.pipelines.types.schema import parameters_schema, value_schema
from agent_worker.pipelines.types.shapes import Property, Shape, Types

NOTHING_GIVEN = "NONE"
"""The value of an optional input that has no default and is not given."""

_NOUNS: Mapping[str, str] = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One way in which given values do not fit.

    Attributes:
        path: JSON path, such as `$.CITY` or `$.ORDER.items[0].price`.
        problem: The rest of a sentence that begins with the path.
    """

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path} {self.problem}"


def check_inputs(declared: Mapping[str, Input], given: JsonObject, types: Types) -> tuple[Mismatch, ...]:
    """Return every way in which given values do not fit; empty when they do.

    An input may be left out when it is optional or has a default. Null counts as left out. A name that is not declared
    is a mismatch, for it is likelier a slip than meant.
    """
    found = []
    for name, each in declared.items():
        if given.get(name) is None:
            if not each.may_be_left_out:
                found.append(Mismatch(f"$.{name}", "is required"))
        else:
            found.extend(check_value(given[name], each.shape, types, path=f"$.{name}"))
    found.extend(
        Mismatch("$", f"has no input {quoted(name)}{suggestion(name, declared.keys())}")
        for name in given
        if name not in declared
    )
    return tuple(found)


def complete_inputs(
    declared: Mapping[str, Input], given: JsonObject, types: Types, *, path: str = "$"
) -> dict[str, JsonValue]:
    """Return a value for every declared input: what was given, else its default, else `"NONE"`.

    Args:
        declared: The inputs.
        given: Values by name.
        types: The definition's types.
        path: Where `given` stands in the payload, for messages.

    Raises:
        InvalidPayload: A value does not fit; names the first place, and says what else is wrong.
    """
    if mismatches := check_inputs(declared, given, types):
        first, *more = mismatches
        also = "".join(f"; {path}{each.path.removeprefix('$')} {each.problem}" for each in more[:9])
        raise InvalidPayload(f"{first.problem}{also}", path=path + first.path.removeprefix("$"))
    return {
        name: each.stand_in(NOTHING_GIVEN) if given.get(name) is None else given[name]
        for name, each in declared.items()
    }


def inputs_schema(inputs: Mapping[str, Input], types: Types) -> JsonObject:
    """Return the schema of a definition's inputs, of which those with a default may be left out as well."""
    parameters = {name: Property(each.shape, each.may_be_left_out) for name, each in inputs.items()}
    return parameters_schema(parameters, types)


def check_value(value: JsonValue, shape: Shape, types: Types, *, path: str = "$") -> list[Mismatch]:
    """Return every way in which a value does not fit a type; at most ten."""
    validator = Draft202012Validator(value_schema(shape, types))
    try:
        return [
            Mismatch(path + error.json_path.removeprefix("$"), problem)
            for error, problem in _first_ten(validator.iter_errors(value))
        ]
    except RecursionError:
        return [Mismatch(path, "is nested too deeply")]


def _first_ten(errors: Iterator[ValidationError]) -> Iterator[tuple[ValidationError, str]]:
    for _, error in zip(range(10), errors, strict=False):
        yield error, _problem(error)


def _problem(error: ValidationError) -> str:
    # jsonschema's types say of both only that they may be anything, or unset.
    expected: Any = error.validator_value
    given: Any = error.instance
    match error.validator:
        case "type":
            return f"must be {_NOUNS[str(expected)]}, here it is {_noun(given)}"
        case "enum":
            return f"must be one of {', '.join(map(str, expected))}"
        case "const":
            return f"must be {expected!r}"
        case "required":
            return f"lacks {', '.join(name for name in expected if name not in given)}"
        case "additionalProperties":
            return _extra(given, error.schema)
        case _:
            return "fits none of the variants of its type"


def _extra(given: Mapping[str, JsonValue], schema: object) -> str:
    known = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
    extra = next(name for name in given if name not in known)
    return f"has no property {quoted(extra)}{suggestion(extra, list(known))}"


def _noun(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case str():
            return "text"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"
