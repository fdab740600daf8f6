"""Things that are declared and that nothing uses; warnings only, for they do no harm."""

from __future__ import annotations

from collections.abc import Iterable

from agent_worker.pipelines.checks.uses import uses
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.definition.steps import written
from agent_worker.pipelines.problems import Problem, Problems
from agent_worker.pipelines.prompts.includes import closure
from agent_worker.pipelines.reading.source import prompt_file, reference_file


def check_usage(definition: Definition, problems: Problems) -> None:
    """Warn of everything unused, and of what is out of use."""
    used: dict[str, set[str]] = {}
    for use in uses(definition):
        used.setdefault(use.kind, set()).add(use.name)
    _check_values(definition, used.get("variable", set()), problems)
    sections: tuple[tuple[str, str, Iterable[str]], ...] = (
        ("types", "type", definition.types),
        ("tools", "tool", definition.tools),
        ("skills", "skill", definition.skills),
        ("mcpServers", "MCP server", definition.mcp_servers),
        ("workers", "worker", definition.workers),
    )
    for section, kind, names in sections:
        for name in names:
            if name not in used.get(kind, ()):
                problems.warning((section, name), f"nothing uses this {kind}")
    _check_files(definition, used, problems)
    if definition.resources:
        problems.warning(("resources",), "resources are out of use in later versions; variables replace them")


def _check_values(definition: Definition, read: set[str], problems: Problems) -> None:
    outputs = {name for block in definition.blocks() for name in written(block)}
    for name in definition.inputs:
        if name not in read:
            problems.warning(("input", name), "no step uses this input")
    for name, variable in definition.variables.items():
        if name in outputs:
            continue
        if name not in read:
            problems.warning(("variables", name), "no step uses this variable")
        elif not variable.has_default:
            problems.warning(("variables", name), "no step writes this variable, and it has no default")


def _check_files(definition: Definition, used: dict[str, set[str]], problems: Problems) -> None:
    shown = set(used.get("prompt", ()))
    for name in tuple(shown):
        shown.update(closure(name, definition.prompts))
    for name in definition.prompts:
        if name not in shown:
            problems.add(Problem("no step uses this prompt", "warning", prompt_file(name)))
    for name in definition.references:
        if name not in used.get("reference", ()):
            problems.add(Problem("no thread lists this reference", "warning", reference_file(name)))
