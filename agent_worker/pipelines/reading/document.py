"""Read the whole: settings, protocol, prompts and references become one definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agent_worker.domain.json import JsonValue
from agent_worker.pipelines.definition.declarations import Dialect, Format, Reference, Settings, Trigger
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.definition.steps import Steps
from agent_worker.pipelines.names import is_slug
from agent_worker.pipelines.problems import SETTINGS, Problem, Problems, quoted
from agent_worker.pipelines.prompts.parse import parse_template
from agent_worker.pipelines.reading.declarations import (
    read_inputs,
    read_limits,
    read_mcp_servers,
    read_on_demand_skills,
    read_resources,
    read_skills,
    read_tools,
    read_triggers,
    read_variables,
    read_workers,
)
from agent_worker.pipelines.reading.fields import Fields
from agent_worker.pipelines.reading.nodes import MapNode
from agent_worker.pipelines.reading.scope import Scope, read_name
from agent_worker.pipelines.reading.source import ReferenceText, Source, reference_file
from agent_worker.pipelines.reading.steps import read_steps
from agent_worker.pipelines.reading.threads import read_agent
from agent_worker.pipelines.reading.types import read_types

_FORMATS: tuple[Format, ...] = ("worker", "interactive")
_DIALECTS: tuple[Dialect, ...] = ("2.3", "2.11")
_OF_WORKERS = ("steps", "output")
_OF_INTERACTIVE = ("triggers", "handlers", "agent")
_SETTINGS_FIELDS = frozenset({"slug", "name", "description", "format"})


def read_definition(source: Source, document: Fields) -> Definition:
    """Return the definition; where problems were found, something stands in for what could not be read."""
    problems = document.problems
    likely: Format = "worker" if document.has("steps") else "interactive"
    settings = read_settings(source.settings, problems, fallback=likely)
    references = _references(source.references, problems)
    base = Definition(
        settings=settings,
        dialect=document.choice("dialect", _DIALECTS) or "2.3",
        inputs=read_inputs(document),
        variables=read_variables(document),
        resources=read_resources(document),
        types=read_types(document),
        tools=read_tools(document),
        skills=read_skills(document),
        on_demand_skills=read_on_demand_skills(document),
        mcp_servers=read_mcp_servers(document),
        workers=read_workers(document),
        limits=read_limits(document),
        prompts={name: parse_template(text) for name, text in source.prompts.items()},
        references=references,
    )
    _check_unique_names(base, problems)
    scope = _scope(base)
    triggers = read_triggers(document)
    definition = _with_body(base, document, scope, triggers)
    document.close()
    return definition


def read_settings(value: JsonValue, problems: Problems, *, fallback: Format) -> Settings:
    """Read `settings.json`; what is missing is reported unless there are no settings at all."""
    if not isinstance(value, Mapping):
        if value is not None:
            problems.add(Problem("the settings are an object", "error", SETTINGS))
        return Settings("", "", fallback)
    slug, name, description = (_setting(value, key, problems) for key in ("slug", "name", "description"))
    if slug and not is_slug(slug):
        message = f"a slug is lower-case letters, digits and dashes; {quoted(slug)} is not"
        problems.add(Problem(message, "error", SETTINGS, "slug"))
    chosen = next((each for each in _FORMATS if each == value.get("format")), None)
    if chosen is None:
        problems.add(Problem("must be worker or interactive", "error", SETTINGS, "format"))
    for key in value:
        if key not in _SETTINGS_FIELDS:
            message = f"there is no field {quoted(key)} here{problems.suggest(key, _SETTINGS_FIELDS)}"
            problems.add(Problem(message, "error", SETTINGS, key[:64]))
    return Settings(slug or "", name or "", chosen or fallback, description)


def _setting(value: Mapping[str, JsonValue], key: str, problems: Problems) -> str | None:
    found = value.get(key)
    is_required = key != "description"
    if isinstance(found, str) and (found.strip() or not is_required):
        return found
    if found is not None or is_required:
        problems.add(Problem("must be text" if found is not None else "is missing", "error", SETTINGS, key))
    return None


def _references(texts: Mapping[str, ReferenceText], problems: Problems) -> dict[str, Reference]:
    found = {}
    for name, each in texts.items():
        file = reference_file(name)
        if not is_slug(name):
            message = f"a reference is called by lower-case letters, digits and dashes; {quoted(name)} is not"
            problems.add(Problem(message, "error", file))
        if not (each.description or "").strip():
            problems.add(
                Problem("needs a description, by which a model chooses it", "error", file, "description")
            )
        found[name] = Reference(name, each.description or "", each.content)
    return found


def _check_unique_names(base: Definition, problems: Problems) -> None:
    """Report names that two sections share: a name has one value."""
    sections = (("input", base.inputs), ("variables", base.variables), ("resources", base.resources))
    owners: dict[str, str] = {}
    for section, names in sections:
        for name in names:
            if name in owners:
                problems.error((section, name), f"{quoted(name)} is declared under {owners[name]} too")
            owners.setdefault(name, section)


def _scope(base: Definition) -> Scope:
    return Scope(
        format=base.settings.format,
        variables=base.variables,
        resources=base.resources,
        types=base.types,
        tools=base.tools.keys(),
        skills=base.skills.keys(),
        references=base.references.keys(),
        mcp_servers=base.mcp_servers,
        workers=base.workers,
        prompts=base.prompts.keys(),
        names=base.names,
    )


def _with_body(
    base: Definition, document: Fields, scope: Scope, triggers: Mapping[str, Trigger]
) -> Definition:
    """Add what the format is made of; sections of the other format are errors."""
    is_worker = base.settings.format == "worker"
    wanted, foreign = (_OF_WORKERS, _OF_INTERACTIVE) if is_worker else (_OF_INTERACTIVE, _OF_WORKERS)
    for name in foreign:
        if document.has(name):
            message = f"the format is {base.settings.format}, which has no {name}"
            document.problems.error(document.at(name), message)
    required = wanted[:1] if is_worker else wanted
    for name in required:
        if not document.has(name):
            document.missing(name, f", because the format is {base.settings.format}")
    steps = read_steps(document, "steps", scope)
    if is_worker and document.has("steps") and not steps and isinstance(document.node("steps"), MapNode):
        document.problems.error(document.at("steps"), "there is no step")
    return replace(
        base,
        steps=steps,
        output=read_name(document, "output", "variable", scope.variables.keys()),
        triggers=triggers,
        handlers=_handlers(document, scope, triggers),
        agent=read_agent(document, scope),
    )


def _handlers(document: Fields, scope: Scope, triggers: Mapping[str, Trigger]) -> dict[str, Steps]:
    found: dict[str, Steps] = {}
    section = document.section("handlers")
    names = [] if section is None else [name for name, _, _ in document.entries("handlers")]
    for name in names:
        if name not in triggers:
            document.problems.unknown(("handlers", name), "trigger", name, triggers.keys())
        inputs = triggers[name].inputs if name in triggers else {}
        if section is not None:
            found[name] = read_steps(section, name, scope.within(*inputs))
    for name in triggers:
        if name not in found:
            document.problems.error(("triggers", name), f"there is no handler for the trigger {quoted(name)}")
    return found
