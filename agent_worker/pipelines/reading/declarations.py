"""Read what a definition declares: inputs, variables, resources, tools, skills, servers, workers, triggers, limits."""

from __future__ import annotations

from collections.abc import Mapping

from agent_worker.pipelines.definition.declarations import (
    DISPLAYS,
    Connection,
    Display,
    Execution,
    Input,
    Limits,
    McpServer,
    McpSource,
    OnDemandSkills,
    Resource,
    Skill,
    Tool,
    Trigger,
    Variable,
    WorkerEntry,
)
from agent_worker.pipelines.names import (
    MCP_SEPARATOR,
    RESERVED_PREFIXES,
    is_reserved,
    is_slug,
    is_tool,
    is_variable,
)
from agent_worker.pipelines.problems import quoted
from agent_worker.pipelines.reading.fields import Fields
from agent_worker.pipelines.reading.types import read_properties, read_shape

_EXECUTIONS: tuple[Execution, ...] = ("sandbox", "device")
_SOURCES: tuple[McpSource, ...] = ("remote", "device", "consumer")
_CONNECTIONS: tuple[Connection, ...] = ("lazy", "eager")
_MOST_DOLLARS = 1_000_000.0


def read_inputs(parent: Fields, name: str = "input") -> dict[str, Input]:
    """Read a mapping of inputs, of a worker or of a trigger."""
    found = {}
    for key, fields in parent.sections(name):
        _check_variable_name(key, fields)
        has_default, default = fields.value("default")
        found[key] = Input(read_shape(fields), fields.flag("optional"), has_default, default)
        fields.close()
    return found


def read_variables(document: Fields) -> dict[str, Variable]:
    """Read `variables`."""
    found = {}
    for key, fields in document.sections("variables"):
        _check_variable_name(key, fields)
        has_default, default = fields.value("default")
        found[key] = Variable(read_shape(fields), has_default, default)
        fields.close()
    return found


def read_resources(document: Fields) -> dict[str, Resource]:
    """Read `resources`; their type may be left out."""
    found = {}
    for key, fields in document.sections("resources"):
        _check_variable_name(key, fields)
        has_default, default = fields.value("default")
        shape = read_shape(fields, required=False)
        found[key] = Resource(shape, fields.flag("readonly"), has_default, default)
        fields.close()
    return found


def read_tools(document: Fields) -> dict[str, Tool]:
    """Read `tools`."""
    found = {}
    for key, fields in document.sections("tools"):
        _check_tool_name(key, fields)
        description = fields.required_text("description")
        parameters = read_properties(fields, "parameters")
        found[key] = Tool(
            key, description, parameters, read_display(fields, "description"), fields.text("title")
        )
        fields.close()
    return found


def read_skills(document: Fields) -> dict[str, Skill]:
    """Read `skills`."""
    found = {}
    for key, fields in document.sections("skills"):
        found[key] = Skill(
            name=key,
            description=fields.text("description"),
            display=read_display(fields, "description"),
            title=fields.text("title"),
            execution=fields.choice("execution", _EXECUTIONS) or "sandbox",
        )
        fields.close()
    return found


def read_on_demand_skills(document: Fields) -> OnDemandSkills | None:
    """Read `onDemandSkills`."""
    fields = document.section("onDemandSkills")
    if fields is None:
        return None
    execution = fields.choice("execution", _EXECUTIONS) or "sandbox"
    found = OnDemandSkills(read_display(fields, "description"), execution)
    fields.close()
    return found


def read_mcp_servers(document: Fields) -> dict[str, McpServer]:
    """Read `mcpServers`."""
    found = {}
    for key, fields in document.sections("mcpServers"):
        if MCP_SEPARATOR in key or not is_tool(key):
            fields.problems.error(
                fields.path, f"{quoted(key)} is no name for a server: letters, digits, - and _"
            )
        found[key] = McpServer(
            name=key,
            description=fields.required_text("description"),
            source=fields.choice("source", _SOURCES) or "remote",
            display=read_display(fields, "description"),
            title=fields.text("title"),
            connection=fields.choice("connection", _CONNECTIONS) or "lazy",
            execution=fields.choice("execution", _EXECUTIONS) or "sandbox",
        )
        if not fields.has("source"):
            fields.missing("source")
        if found[key].source != "remote":
            for name in ("connection", "execution"):
                if fields.has(name):
                    fields.problems.error(fields.at(name), "is for servers with source: remote alone")
        fields.close()
    return found


def read_workers(document: Fields) -> dict[str, WorkerEntry]:
    """Read `workers`."""
    found = {}
    for key, fields in document.sections("workers"):
        if not is_slug(key):
            fields.problems.error(
                fields.path, f"{quoted(key)} is no slug: lower-case letters, digits, dashes"
            )
        found[key] = WorkerEntry(
            slug=key,
            description=fields.required_text("description"),
            display=read_display(fields, "stream"),
            title=fields.text("title"),
            tools=read_text_mapping(fields, "tools"),
        )
        fields.close()
    return found


def read_triggers(document: Fields) -> dict[str, Trigger]:
    """Read `triggers`."""
    found = {}
    for key, fields in document.sections("triggers"):
        found[key] = Trigger(key, fields.text("description"), read_inputs(fields))
        fields.close()
    return found


def read_limits(document: Fields) -> Limits:
    """Read `limits`."""
    fields = document.section("limits")
    if fields is None:
        return Limits()
    found = Limits(
        max_cost=fields.number("maxCost", at_least=0.0001, at_most=_MOST_DOLLARS),
        max_tokens=fields.whole("maxTokens"),
        max_llm_calls=fields.whole("maxLlmCalls"),
        timeout_s=fields.duration("timeout"),
    )
    fields.close()
    return found


def read_display(fields: Fields, default: Display) -> Display:
    """Read `display`."""
    return fields.choice("display", DISPLAYS) or default


def read_text_mapping(fields: Fields, name: str) -> Mapping[str, str]:
    """Read a mapping from text to text."""
    section = fields.section(name)
    if section is None:
        return {}
    keys = [key for key, _, _ in fields.entries(name)]
    return {key: text for key in keys if (text := section.text(key)) is not None}


def _check_variable_name(name: str, fields: Fields) -> None:
    if not is_variable(name):
        fields.problems.error(fields.path, f"a name here is UPPER_SNAKE; {quoted(name)} is not")


def _check_tool_name(name: str, fields: Fields) -> None:
    if not is_tool(name):
        message = f"{quoted(name)} is no name for a tool: a letter, then up to 63 letters, digits, - and _"
        fields.problems.error(fields.path, message)
    elif is_reserved(name):
        prefixes = " and ".join(RESERVED_PREFIXES)
        fields.problems.error(fields.path, f"names that begin with {prefixes} belong to built-in tools")
    elif MCP_SEPARATOR in name:
        fields.problems.error(fields.path, f"{MCP_SEPARATOR} in a name means a tool of an MCP server")
