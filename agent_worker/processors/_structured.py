"""Structured output: the schema a request asks for, and the check that the answer follows it.

The schema comes from a client and is not trusted. Python's `re` can run for hours on a hostile `pattern` and would hold
the whole worker, heartbeat included; so patterns run in Rust's engine, which takes linear time and in turn knows neither
look-around nor back-references. References to other documents are refused, so that nothing is ever fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NoReturn

import jsonschema
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, extend, validator_for
from pydantic_core import SchemaError, SchemaValidator, core_schema
from referencing import Registry
from referencing.exceptions import Unresolvable

from agent_worker.domain.chat import FinishReason
from agent_worker.domain.errors import InvalidPayload, ProcessorError
from agent_worker.domain.json import JsonObject, JsonValue

_PATH = "$.response_format"
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


class AnswerSchema:
    """The JSON Schema that an answer must follow.

    Args:
        json_schema: The schema; draft 2020-12 unless its `$schema` names another.

    Raises:
        InvalidPayload: It is no valid JSON Schema, or uses what is refused here.
    """

    def __init__(self, json_schema: JsonObject) -> None:
        self.json_schema = json_schema
        named = json_schema.get("$schema")
        draft = validator_for({"$schema": named}, Draft202012Validator) if isinstance(named, str) else None
        self._validator = _make_validator(draft or Draft202012Validator, json_schema)

    @classmethod
    def from_response_format(cls, response_format: JsonObject) -> AnswerSchema | None:
        """Read OpenAI's `response_format`, or a bare JSON Schema.

        Args:
            response_format: `{"type": "json_schema", "json_schema": {"schema": {…}}}`, `{"type": "json_object"}`,
                `{"type": "text"}`, or a schema itself.

        Returns:
            None when the answer may be any text.

        Raises:
            InvalidPayload: No schema, or not a valid one.
        """
        match response_format:
            case {"type": "text"}:
                return None
            case {"type": "json_object"}:
                return cls({"type": "object"})
            case {"type": "json_schema", "json_schema": {"schema": Mapping() as schema}}:
                return cls(schema)
            case {"type": "json_schema"}:
                raise InvalidPayload("must be an object", path=f"{_PATH}.json_schema.schema")
            case _:
                return cls(response_format)

    def read(self, answer: str, reason: FinishReason) -> JsonValue:
        """Return the JSON value of an answer.

        Raises:
            ProcessorError: `output_truncated` and `content_filtered` are permanent; `invalid_model_output` is
                retryable, for another try may fit.
        """
        if reason == "length":
            raise ProcessorError(
                "The model's answer was cut at its token limit before the JSON was complete; raise max_tokens.",
                code="output_truncated",
                retryable=False,
            )
        if reason == "content-filter":
            raise ProcessorError(
                "The model declined, or its provider's content filter stopped the answer.",
                code="content_filtered",
                retryable=False,
            )
        try:
            value: JsonValue = json.loads(answer, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise _invalid_output("is no JSON") from error
        self._check(value)
        return value

    def _check(self, value: JsonValue) -> None:
        try:
            error = next(self._validator.iter_errors(value), None)
        except (Unresolvable, RecursionError) as loop:
            raise InvalidPayload("has a reference that leads nowhere", path=_PATH) from loop
        if error is not None:
            raise _invalid_output(
                f"does not fit the schema: {error.json_path} breaks its {error.validator!r}"
            )


def _make_validator(draft: type[Validator], schema: JsonObject) -> Validator:
    try:
        # Not check_schema(): it tries the format "regex" in Python's engine.
        problem = best_match(draft(draft.META_SCHEMA).iter_errors(schema))
    except RecursionError as error:
        raise InvalidPayload("is nested too deeply", path=_PATH) from error
    if problem is not None:
        where = f"{problem.json_path} breaks the rule {problem.validator!r}"
        raise InvalidPayload(f"is no valid JSON Schema: {where}", path=_PATH)
    for keyword, value in _keywords(schema):
        _check_keyword(keyword, value)
    safe: type[Validator] = extend(draft, {"pattern": _match_pattern})  # type: ignore[no-untyped-call]  # stubs
    return safe(schema, registry=Registry())


def _keywords(schema: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    """Yield every key with its value, at any depth; properties of that name too, whose values are objects."""
    todo = [schema]
    while todo:
        match todo.pop():
            case Mapping() as named:
                yield from named.items()
                todo.extend(named.values())
            case Sequence() as items if not isinstance(items, str):
                todo.extend(items)
            case _:
                pass


def _check_keyword(keyword: str, value: JsonValue) -> None:
    if keyword == "pattern" and isinstance(value, str):
        try:
            _compile(value)
        except SchemaError as error:
            problem = "has a pattern that is not supported: no look-around, no back-references"
            raise InvalidPayload(problem, path=_PATH) from error
    if keyword == "patternProperties":
        raise InvalidPayload("must not use patternProperties", path=_PATH)
    if keyword in _REFERENCES and isinstance(value, str) and not value.startswith("#"):
        raise InvalidPayload("must not refer to other documents", path=_PATH)


@lru_cache(maxsize=256)
def _compile(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))


def _match_pattern(
    validator: Any,  # noqa: ARG001 - jsonschema's calling convention
    pattern: str,
    instance: object,
    schema: Any,  # noqa: ARG001
) -> Iterator[jsonschema.ValidationError]:
    if isinstance(instance, str) and not _compile(pattern).isinstance_python(instance):
        yield jsonschema.ValidationError("does not match")


def _invalid_output(problem: str) -> ProcessorError:
    return ProcessorError(f"The model's answer {problem}.", code="invalid_model_output", retryable=True)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
