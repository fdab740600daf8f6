"""Names that fields refer to: which there are, and reading a field that must be one of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from agent_worker.pipelines.definition.declarations import Format, McpServer, Resource, Variable, WorkerEntry
from agent_worker.pipelines.definition.values import Constant, Ref, Value
from agent_worker.pipelines.names import MCP_SEPARATOR, is_model, is_reserved, is_variable
from agent_worker.pipelines.problems import Path, Problems, quoted
from agent_worker.pipelines.reading.fields import Fields
from agent_worker.pipelines.reading.nodes import MapNode, Node, Scalar, describe, plain
from agent_worker.pipelines.types.shapes import DeclaredType


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a block can refer to.

    Attributes:
        names: Everything that has a value: inputs, variables, resources, and what only the steps around the block
            give, such as items of loops and inputs of a trigger.
        prompts: Names of prompts.
    """

    format: Format
    variables: Mapping[str, Variable]
    resources: Mapping[str, Resource]
    types: Mapping[str, DeclaredType]
    tools: Collection[str]
    skills: Collection[str]
    references: Collection[str]
    mcp_servers: Mapping[str, McpServer]
    workers: Mapping[str, WorkerEntry]
    prompts: Collection[str]
    names: frozenset[str]

    def within(self, *names: str) -> Scope:
        """Return the scope of steps that have further names."""
        return replace(self, names=self.names.union(names))


def read_name(
    fields: Fields, name: str, what: str, known: Collection[str], *, required: bool = False
) -> str | None:
    """Read a field that names one of several things."""
    text = fields.text(name)
    if text is None:
        if required and fields.node(name) is None:
            fields.missing(name)
        return None
    if text not in known:
        fields.problems.unknown(fields.at(name), what, text, known)
    return text


def read_names(fields: Fields, name: str, what: str, known: Collection[str]) -> tuple[str, ...]:
    """Read a list that names several things, each once."""
    texts = fields.texts(name)
    for index, text in enumerate(texts):
        if text not in known:
            fields.problems.unknown((*fields.at(name), index), what, text, known)
    return texts


def read_variable(fields: Fields, name: str, scope: Scope) -> str | None:
    """Read a field that names something with a value."""
    text = fields.text(name)
    if text is not None and text not in scope.names:
        fields.problems.unknown(fields.at(name), "input or variable", text, scope.names)
    return text


def read_required_variable(fields: Fields, name: str, scope: Scope) -> str:
    """Read a field that must name something with a value; empty when it does not."""
    if fields.node(name) is None:
        fields.missing(name)
    return read_variable(fields, name, scope) or ""


def read_variables_list(fields: Fields, name: str, scope: Scope) -> tuple[str, ...]:
    """Read a list of names of things with a value."""
    texts = fields.texts(name)
    for index, text in enumerate(texts):
        if text not in scope.names:
            fields.problems.unknown((*fields.at(name), index), "input or variable", text, scope.names)
    return texts


def read_output(fields: Fields, scope: Scope, name: str = "output") -> str | None:
    """Read a field that names the variable a block writes."""
    text = fields.text(name)
    if text is None or text in scope.variables:
        return text
    if text in scope.resources:
        fields.problems.error(fields.at(name), f"{text} is a resource; the block set-resource writes it")
    elif text in scope.names:
        fields.problems.error(fields.at(name), f"{text} cannot be written; declare a variable for it")
    else:
        fields.problems.unknown(fields.at(name), "variable", text, scope.variables.keys())
    return text


def read_tool(fields: Fields, scope: Scope) -> str:
    """Read a field `tool`."""
    text = fields.required_text("tool")
    if text:
        check_tool(text, fields.at("tool"), scope, fields.problems)
    return text


def read_tools(fields: Fields, scope: Scope) -> tuple[str, ...]:
    """Read a list `tools`."""
    texts = fields.texts("tools")
    for index, text in enumerate(texts):
        check_tool(text, (*fields.at("tools"), index), scope, fields.problems)
    return texts


def check_tool(name: str, path: Path, scope: Scope, problems: Problems) -> None:
    """Report a tool that is neither declared nor a declared MCP server's."""
    server, separator, _ = name.partition(MCP_SEPARATOR)
    if name in scope.tools or (separator and server in scope.mcp_servers):
        return
    if is_reserved(name):
        problems.error(
            path, f"{quoted(name)} is built in; switch it on with its own field, such as webSearch"
        )
    elif separator:
        problems.unknown(path, "MCP server", server, scope.mcp_servers.keys())
    else:
        problems.unknown(path, "tool", name, scope.tools)


def read_model(fields: Fields, name: str, scope: Scope) -> str | Ref | None:
    """Read a field that is `provider/model`, or the name of the input that says so."""
    text = fields.text(name)
    if text is None or is_model(text):
        return text
    if is_variable(text):
        return read_reference(fields, name, text, scope)
    message = f"a model is provider/model, or the name of an input; {quoted(text)} is neither"
    fields.problems.error(fields.at(name), message)
    return text


def read_reference(fields: Fields, name: str, text: str, scope: Scope) -> Ref:
    """Return a reference to something with a value."""
    if text not in scope.names:
        fields.problems.unknown(fields.at(name), "input or variable", text, scope.names)
    return Ref(text)


def variable_text(node: Node | None) -> str | None:
    """Return a node's text if it looks like the name of a variable."""
    is_name = isinstance(node, Scalar) and isinstance(node.value, str) and is_variable(node.value)
    return node.text if is_name and isinstance(node, Scalar) else None


def read_bindings(fields: Fields, scope: Scope) -> dict[str, str]:
    """Read `input` of a prompt: `[A, B]`, `[LABEL: SOURCE]` or `{LABEL: SOURCE}`, as label → source."""
    found: dict[str, str] = {}
    problems = fields.problems
    for label, source, path in _bindings(fields):
        if source not in scope.names:
            problems.unknown(path, "input or variable", source, scope.names)
        if not is_variable(label):
            problems.error(path, f"a name in a prompt is UPPER_SNAKE; {quoted(label)} is not")
        if label in found:
            problems.error(path, f"{quoted(label)} is given twice")
        found[label] = source
    return found


def _bindings(fields: Fields) -> list[tuple[str, str, Path]]:
    if isinstance(fields.node("input"), MapNode):
        return _sources(fields.node("input"), fields.at("input"), fields.problems)
    found: list[tuple[str, str, Path]] = []
    for node, path in fields.items("input"):
        match node:
            case Scalar(value=str() as text):
                found.append((text, text, path))
            case MapNode():
                found.extend(_sources(node, path, fields.problems))
            case other:
                fields.problems.error(
                    path, f"must be a name, or a mapping to a name; here it is {describe(other)}"
                )
    return found


def _sources(node: Node | None, path: Path, problems: Problems) -> list[tuple[str, str, Path]]:
    found = []
    if isinstance(node, MapNode):
        for label, entry in node.entries.items():
            if isinstance(entry.node, Scalar) and isinstance(entry.node.value, str):
                found.append((label, entry.node.value, (*path, label)))
            else:
                problems.error((*path, label), f"must be a name, here it is {describe(entry.node)}")
    return found


def read_values(fields: Fields, scope: Scope) -> dict[str, Value]:
    """Read `input` of a call: name → variable or value."""
    return {key: as_value(node, path, scope, fields.problems) for key, node, path in fields.entries("input")}


def read_value(fields: Fields, name: str, scope: Scope) -> Value:
    """Read a required field that is a variable or a value; null is a value."""
    is_there, _ = fields.value(name)
    if not is_there:
        fields.missing(name)
    node = fields.node(name)
    return Constant(None) if node is None else as_value(node, fields.at(name), scope, fields.problems)


def as_value(node: Node, path: Path, scope: Scope, problems: Problems) -> Value:
    """Return what a node stands for: text that equals a known name is a reference, anything else is itself."""
    text = variable_text(node)
    if text is not None and text in scope.names:
        return Ref(text)
    if text is not None and (close := problems.closest(text, scope.names)):
        message = f"this is the text {quoted(text)}, for no variable has that name; did you mean {close}?"
        problems.warning(path, message)
    return Constant(plain(node))
