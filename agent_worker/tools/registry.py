"""Which tools a worker can run.

A definition declares a tool's name, description and parameters. A name that is registered here is run by the worker;
one that is not is run by the client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from agent_worker.domain.errors import ConfigurationError, ProcessorError
from agent_worker.domain.json import JsonObject, JsonValue

MAX_RESULT_BYTES = 4 * 1024 * 1024
"""Largest answer of a tool, as JSON; a longer one is refused while it is read."""


class ToolError(ProcessorError):
    """A tool refused or broke. A model reads the message as the call's result; a `tool-call` step fails with it.

    Args:
        message: One sentence.
        retryable: Whether the same call could end differently.
        code: `tool_failed`, or `invalid_arguments` when the call was wrong.
    """

    def __init__(self, message: str, *, retryable: bool = True, code: str = "tool_failed") -> None:
        super().__init__(message, code=code, retryable=retryable)


class Tool(Protocol):
    """Something that can be called by name with a JSON object."""

    @property
    def name(self) -> str:
        """The name that definitions use."""
        ...

    @property
    def parameters(self) -> JsonObject | None:
        """JSON Schema of the arguments; None when only the definition knows it."""
        ...

    async def call(self, arguments: JsonObject, *, idempotency_key: str) -> JsonValue:
        """Run the tool.

        Args:
            arguments: As the definition's parameters describe them.
            idempotency_key: `execution:block:n`, the same each time this call is repeated.

        Raises:
            ToolError: It refused or broke.
        """
        ...


class ToolRegistry:
    """Tools by name.

    Example:
        ```python
        registry = ToolRegistry((FunctionTool(get_weather), HttpTool("find-order", "https://shop.example/tools")))
        ```

    Raises:
        ConfigurationError: Two tools have one name.
    """

    def __init__(self, tools: tuple[Tool, ...] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            if tool.name in self._tools:
                raise ConfigurationError(f"two tools are called {tool.name!r} · rename or remove one")
            self._tools[tool.name] = tool

    def get(self, name: str) -> Tool | None:
        """Return the tool of this name, or None when the client has to run it."""
        return self._tools.get(name)

    @property
    def schemas(self) -> Mapping[str, JsonObject | None]:
        """Names with the JSON Schemas of their arguments."""
        return {name: tool.parameters for name, tool in self._tools.items()}
