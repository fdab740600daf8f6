"""A Python function as a tool: its signature is its schema."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import operator
from collections.abc import Callable
from typing import Any

import pydantic
import structlog

from agent_worker.domain.errors import ConfigurationError, ProcessorError
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.tools.registry import ToolError

logger = structlog.get_logger(__name__)

_KEY = "idempotency_key"


class FunctionTool:
    """Call a function with the arguments that a definition or a model gives.

    A plain `def` runs in a thread. A parameter `idempotency_key` is no argument: it gets the call's key. What is returned
    goes through pydantic, so models and dataclasses become JSON.

    Args:
        function: Takes keyword arguments, all annotated.
        name: None takes the function's, with `-` for `_`.

    Raises:
        ConfigurationError: The signature has positional-only or variable parameters, or types without a schema.
    """

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        self._function = function
        self._name = name or function.__name__.replace("_", "-")
        signature = inspect.signature(function, eval_str=True)
        self._wants_key = _KEY in signature.parameters
        try:
            self._arguments = _arguments_model(self._name, signature)
            self._parameters: JsonObject = self._arguments.model_json_schema()
        except (pydantic.errors.PydanticUserError, TypeError) as error:
            raise ConfigurationError(
                f"the function {function.__name__} cannot be a tool · {error} · give every parameter a type that has "
                "a JSON form"
            ) from error

    @property
    def name(self) -> str:
        """The name that definitions use."""
        return self._name

    @property
    def parameters(self) -> JsonObject:
        """JSON Schema of the arguments."""
        return self._parameters

    async def call(self, arguments: JsonObject, *, idempotency_key: str) -> JsonValue:
        """Check the arguments and call the function.

        Raises:
            ToolError: The arguments do not fit, or the function raised.
        """
        given = self._checked(arguments)
        if self._wants_key:
            given[_KEY] = idempotency_key
        try:
            if inspect.iscoroutinefunction(self._function):
                result = await self._function(**given)
            else:
                result = await asyncio.to_thread(self._function, **given)
        except ProcessorError:
            raise
        except Exception as error:
            logger.warning("tool.failed", tool=self._name, exc_info=error)
            raise ToolError(f"The tool {self._name!r} failed with {type(error).__name__}.") from error
        value: JsonValue = pydantic.TypeAdapter(Any).dump_python(result, mode="json")
        return value

    def _checked(self, arguments: JsonObject) -> dict[str, Any]:
        try:
            checked = self._arguments.model_validate(dict(arguments))
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ToolError(
                f"The arguments of {self._name!r} do not fit: {place}: {first['msg']}.",
                retryable=False,
                code="invalid_arguments",
            ) from error
        return {name: getattr(checked, name) for name in checked.model_fields_set}


def load_function(path: str) -> FunctionTool:
    """Import `package.module:function` as a tool; `name=package.module:function` gives it another name.

    Raises:
        ConfigurationError: There is no such function.
    """
    name, _, reference = path.rpartition("=")
    module, _, attribute = reference.partition(":")
    try:
        function = operator.attrgetter(attribute)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"the tool {path} cannot be loaded · {error} · it should look like package.module:function"
        ) from error
    if not callable(function):
        raise ConfigurationError(f"the tool {path} is no function")
    return FunctionTool(function, name=name or None)


def _arguments_model(name: str, signature: inspect.Signature) -> type[pydantic.BaseModel]:
    fields: dict[str, Any] = {}
    for each in signature.parameters.values():
        if each.name == _KEY:
            continue
        if each.kind not in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY}:
            raise TypeError(f"its parameter {each.name} cannot be given by name")
        annotation = Any if each.annotation is each.empty else each.annotation
        fields[each.name] = (annotation, ... if each.default is each.empty else each.default)
    return pydantic.create_model(name, __config__=pydantic.ConfigDict(extra="forbid"), **fields)
