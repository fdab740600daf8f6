"""Prompts: their grammar, their includes, and whether what they show is given to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent_worker.pipelines.checks.uses import PromptUse, prompt_uses
from agent_worker.pipelines.conditions import Condition
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.problems import Problem, Problems, Severity, dotted, quoted
from agent_worker.pipelines.prompts.includes import check_includes, closure
from agent_worker.pipelines.prompts.template import Template
from agent_worker.pipelines.reading.source import prompt_file

MOST_VARIABLES = 500
"""Most different names in a prompt and what it includes."""


@dataclass(frozen=True, slots=True)
class _Needs:
    """What a prompt and its includes ask for: file and line by name, and by condition."""

    variables: Mapping[str, tuple[str, int]]
    conditions: Mapping[Condition, tuple[str, int]]


def check_prompts(definition: Definition, problems: Problems) -> None:
    """Check every prompt, then every place that uses one."""
    prompts = definition.prompts
    for name, template in prompts.items():
        _check_name(name, problems)
        for mistake in template.mistakes:
            severity: Severity = "error" if mistake.is_error else "warning"
            problems.add(Problem(mistake.message, severity, prompt_file(name), line=mistake.line))
    for bad in check_includes(prompts):
        problems.add(Problem(bad.message, "error", prompt_file(bad.prompt), line=bad.line))
    needs: dict[str, _Needs] = {}
    for use in prompt_uses(definition):
        if use.prompt not in prompts:
            continue
        if use.prompt not in needs:
            needs[use.prompt] = _needs(use.prompt, prompts, problems)
        _check_use(use, needs[use.prompt], definition, problems)


def _check_name(name: str, problems: Problems) -> None:
    parts = name.split("/")
    if not all(parts) or any(part in {".", ".."} for part in parts) or "\\" in name or not name.isprintable():
        message = f"{quoted(name)} is no name for a prompt: names joined by /, such as shared/tone"
        problems.add(Problem(message, "error", "prompts"))


def _needs(name: str, prompts: Mapping[str, Template], problems: Problems) -> _Needs:
    variables: dict[str, tuple[str, int]] = {}
    conditions: dict[Condition, tuple[str, int]] = {}
    for each in closure(name, prompts):
        for tag in prompts[each].variables():
            variables.setdefault(tag.name, (each, tag.line))
        for condition, line in prompts[each].conditions():
            conditions.setdefault(condition, (each, line))
    if len(variables) > MOST_VARIABLES or len(conditions) > MOST_VARIABLES:
        message = (
            f"the prompt has more than {MOST_VARIABLES} different variables or conditions, includes and all"
        )
        problems.add(Problem(message, "error", prompt_file(name)))
        return _Needs({}, {})
    return _Needs(variables, conditions)


def _check_use(use: PromptUse, needs: _Needs, definition: Definition, problems: Problems) -> None:
    shown = "shows as nothing" if definition.dialect == "2.3" else "stays as it stands"
    for name, (prompt, line) in needs.variables.items():
        if name not in use.input:
            where = f"{prompt_file(prompt)}:{line}"
            problems.warning(use.path, f"{{{{{name}}}}} in {where} is not in the input here, so it {shown}")
    for condition, (prompt, line) in needs.conditions.items():
        message = _condition_problem(condition, use, definition)
        if message is not None:
            where = prompt_file(prompt)
            problems.add(Problem(f"{message}, used by {dotted(use.path)}", "error", where, line=line))


def _condition_problem(condition: Condition, use: PromptUse, definition: Definition) -> str | None:
    source = use.input.get(condition.variable)
    if source is None:
        return f"the condition asks for {condition.variable}, which is not in the input"
    return enum_problem(condition, source, definition)


def enum_problem(condition: Condition, source: str, definition: Definition) -> str | None:
    """Return what is wrong with comparing a value with a text that it can never be."""
    shape = definition.shape(source)
    if condition.operator in {"true", "false"} or shape is None or not shape.enum:
        return None
    if condition.literal in shape.enum:
        return None
    return f"{condition.variable} is never {quoted(condition.literal)}, only {', '.join(shape.enum)}"
