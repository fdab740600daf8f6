"""Read a definition from the body of a request.

The form is `{settings, protocol: "<yaml text>", prompts: [{name, content}], references: [{name, description, content}]}`;
the two lists may be left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agent_worker.domain.json import JsonValue
from agent_worker.pipelines.problems import PROTOCOL, SETTINGS, Problem, quoted
from agent_worker.pipelines.reading.source import ReferenceText, Source


def read_wire(body: JsonValue) -> Source:
    """Return what a body holds; whatever is wrong with its form goes into the source's problems."""
    problems: list[Problem] = []
    if not isinstance(body, Mapping):
        problem = Problem("a definition is an object with settings, protocol and prompts", "error")
        return Source(None, None, problems=(problem,))
    settings = body.get("settings")
    if settings is None:
        problems.append(Problem("the field settings is missing", "error", SETTINGS))
    protocol = body.get("protocol")
    if not isinstance(protocol, str):
        problems.append(Problem("the field protocol must be the text of the YAML document", "error"))
        protocol = None
    prompts = dict(_prompts(body.get("prompts"), problems))
    references = dict(_references(body.get("references"), problems))
    return Source(settings, protocol, prompts, references, tuple(problems))


def _prompts(value: JsonValue, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    for name, item in _named(value, "prompts", problems):
        content = item.get("content")
        if isinstance(content, str):
            yield name, content
        else:
            problems.append(Problem("the field content must be text", "error", f"prompts/{name}.md"))


def _references(value: JsonValue, problems: list[Problem]) -> Iterator[tuple[str, ReferenceText]]:
    for name, item in _named(value, "references", problems):
        content, description = item.get("content"), item.get("description")
        if not isinstance(content, str):
            problems.append(Problem("the field content must be text", "error", f"references/{name}.md"))
            content = ""
        yield name, ReferenceText(description if isinstance(description, str) else None, content)


def _named(
    value: JsonValue, kind: str, problems: list[Problem]
) -> Iterator[tuple[str, Mapping[str, JsonValue]]]:
    """Yield the objects of a list that have a name, each name once."""
    if value is None:
        return
    if isinstance(value, str) or not isinstance(value, Sequence):
        problems.append(Problem(f"the field {kind} must be a list", "error", PROTOCOL))
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        name = item.get("name") if isinstance(item, Mapping) else None
        if not isinstance(item, Mapping) or not isinstance(name, str) or not name:
            problems.append(Problem(f"{kind}[{index}] must be an object with a name", "error", PROTOCOL))
        elif name in seen:
            problems.append(Problem(f"{kind} has {quoted(name)} twice", "error", PROTOCOL))
        else:
            seen.add(name)
            yield name, item
