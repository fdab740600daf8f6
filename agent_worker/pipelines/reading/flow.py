"""Read our own blocks: branches, loops, waits and people."""

from __future__ import annotations

from datetime import datetime

from agent_worker.pipelines.conditions import Condition
from agent_worker.pipelines.definition.flow import (
    DEFAULT_ITERATIONS,
    MOST_CONCURRENCY,
    MOST_ITERATIONS,
    Branch,
    ForEach,
    HumanApproval,
    If,
    OnTimeout,
    Parallel,
    Repeat,
    SetVariable,
    Wait,
)
from agent_worker.pipelines.definition.steps import Steps, written
from agent_worker.pipelines.definition.values import Ref
from agent_worker.pipelines.names import is_variable
from agent_worker.pipelines.problems import quoted
from agent_worker.pipelines.reading.blocks import Draft
from agent_worker.pipelines.reading.fields import Fields
from agent_worker.pipelines.reading.nodes import Scalar
from agent_worker.pipelines.reading.policies import read_condition
from agent_worker.pipelines.reading.scope import (
    Scope,
    read_bindings,
    read_name,
    read_output,
    read_reference,
    read_required_variable,
    read_value,
    variable_text,
)
from agent_worker.pipelines.reading.types import read_properties

_ON_TIMEOUT: tuple[OnTimeout, ...] = ("fail", "approve", "reject")
_LEAST_BRANCHES = 2
_APPROVED = "approved"
_MOST_FAILURES = 1_000_000


def if_block(draft: Draft) -> If:
    """Read `if`."""
    fields, scope = draft.fields, draft.scope
    if not fields.has("condition"):
        fields.missing("condition")
    return If(
        **draft.common,
        test=read_condition(fields, "condition", scope) or Condition(""),
        then=_required_steps(draft, "then", scope),
        otherwise=draft.read_steps(fields, "else", scope),
    )


def branch(draft: Draft) -> Branch:
    """Read `branch`."""
    fields, scope = draft.fields, draft.scope
    value = read_required_variable(fields, "value", scope)
    if not fields.has("cases"):
        fields.missing("cases")
    section = fields.section("cases")
    cases = (
        {}
        if section is None
        else {key: draft.read_steps(section, key, scope) for key, _, _ in fields.entries("cases")}
    )
    return Branch(
        **draft.common, value=value, cases=cases, default=draft.read_steps(fields, "default", scope)
    )


def for_each(draft: Draft) -> ForEach:
    """Read `for-each`."""
    fields, scope = draft.fields, draft.scope
    items = read_required_variable(fields, "in", scope)
    item = fields.required_text("as")
    if item and not is_variable(item):
        fields.problems.error(fields.at("as"), f"a name here is UPPER_SNAKE; {quoted(item)} is not")
    elif item and item in scope.names:
        fields.problems.error(fields.at("as"), f"{item} has a meaning already; take another name")
    steps = _required_steps(draft, "steps", scope.within(item) if item else scope)
    output = read_output(fields, scope)
    return ForEach(
        **draft.common,
        items=items,
        item=item,
        concurrency=fields.whole("concurrency", at_most=MOST_CONCURRENCY) or 1,
        steps=steps,
        collect=_collected(fields, steps, scope, has_output=output is not None),
        output=output,
        tolerated=_tolerated(fields),
    )


def parallel(draft: Draft) -> Parallel:
    """Read `parallel`."""
    fields = draft.fields
    section = fields.section("branches")
    branches: dict[str, Steps] = {}
    if section is not None:
        names = [key for key, _, _ in fields.entries("branches")]
        branches = {name: draft.read_steps(section, name, draft.scope) for name in names}
    if len(branches) < _LEAST_BRANCHES:
        fields.problems.error(fields.at("branches"), "there are two branches or more, each with its steps")
    return Parallel(**draft.common, branches=branches)


def repeat(draft: Draft) -> Repeat:
    """Read `repeat`."""
    fields, scope = draft.fields, draft.scope
    if not fields.has("until") and not fields.has("maxIterations"):
        fields.missing("until", ", or maxIterations")
    return Repeat(
        **draft.common,
        steps=_required_steps(draft, "steps", scope),
        until=read_condition(fields, "until", scope),
        max_iterations=fields.whole("maxIterations", at_most=MOST_ITERATIONS) or DEFAULT_ITERATIONS,
    )


def set_variable(draft: Draft) -> SetVariable:
    """Read `set-variable`."""
    fields = draft.fields
    if not fields.has("variable"):
        fields.missing("variable")
    name = read_output(fields, draft.scope, "variable") or ""
    return SetVariable(**draft.common, variable=name, value=read_value(fields, "value", draft.scope))


def wait(draft: Draft) -> Wait:
    """Read `wait`."""
    fields, scope = draft.fields, draft.scope
    if fields.has("for") == fields.has("until"):
        fields.problems.error(fields.path, "needs either 'for', a duration, or 'until', a time")
    return Wait(**draft.common, seconds=_seconds(fields, scope), until=_moment(fields, scope))


def human_approval(draft: Draft) -> HumanApproval:
    """Read `human-approval`; its `timeout` is how long the answer may take."""
    fields, scope = draft.fields, draft.scope
    form = read_properties(fields, "form")
    if _APPROVED in form:
        fields.problems.error(
            (*fields.at("form"), _APPROVED), "every answer says whether it approves; take another name"
        )
    wait_s = draft.common["timeout_s"]
    if wait_s is None and fields.has("onTimeout") and not fields.has("timeout"):
        fields.problems.warning(fields.at("onTimeout"), "without timeout, the answer may take for ever")
    common = draft.common.copy()
    common["timeout_s"] = None
    return HumanApproval(
        **common,
        prompt=read_name(fields, "prompt", "prompt", scope.prompts, required=True) or "",
        input=read_bindings(fields, scope),
        form=form,
        wait_s=wait_s,
        on_timeout=fields.choice("onTimeout", _ON_TIMEOUT) or "fail",
        approved=read_output(fields, scope, _APPROVED),
        output=read_output(fields, scope),
    )


def _required_steps(draft: Draft, name: str, scope: Scope) -> Steps:
    if not draft.fields.has(name):
        draft.fields.missing(name)
    return draft.read_steps(draft.fields, name, scope)


def _collected(fields: Fields, steps: Steps, scope: Scope, *, has_output: bool) -> str | None:
    """Read `collect`: by default what the last of the steps that write something writes."""
    named = read_output(fields, scope, "collect")
    if named is not None or not has_output:
        return named
    outputs = [name for block in steps for name in written(block)]
    if not outputs:
        fields.missing("collect", ", the variable that holds an item's result, because no step has an output")
        return None
    return outputs[-1]


def _tolerated(fields: Fields) -> int | float:
    """Read `tolerateFailures`: a number of items, or a part of them such as `20%`."""
    node = fields.node("tolerateFailures")
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.value.endswith("%"):
        digits = node.value[:-1].strip()
        if digits.isascii() and digits.isdecimal() and int(digits[:4]) <= 100:  # noqa: PLR2004 - per cent
            return int(digits) / 100
        fields.problems.error(fields.at("tolerateFailures"), "must be 0% to 100%, or a number of items")
        return 0
    return fields.whole("tolerateFailures", at_least=0, at_most=_MOST_FAILURES) or 0


def _seconds(fields: Fields, scope: Scope) -> float | Ref | None:
    text = variable_text(fields.node("for"))
    return fields.duration("for") if text is None else read_reference(fields, "for", text, scope)


def _moment(fields: Fields, scope: Scope) -> str | Ref | None:
    text = fields.text("until")
    if text is None:
        return None
    if is_variable(text):
        return read_reference(fields, "until", text, scope)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fields.problems.error(fields.at("until"), "must be a time such as 2026-01-31T12:00Z, or a variable")
        return None
    if moment.tzinfo is None:
        fields.problems.error(fields.at("until"), "must say its time zone, such as Z or +01:00")
    return text
