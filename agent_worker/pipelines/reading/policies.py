"""Read what every step may have: `if`, `retry`, `timeout`, `onError`, and how it is shown."""

from __future__ import annotations

from typing import TypedDict

from agent_worker.pipelines.conditions import HINT, Condition, parse_condition
from agent_worker.pipelines.definition.declarations import Display
from agent_worker.pipelines.definition.policies import (
    ERROR_TYPES,
    FAIL,
    Continue,
    ErrorType,
    Goto,
    OnError,
    Retry,
    UseDefault,
)
from agent_worker.pipelines.problems import Path, quoted, suggestion
from agent_worker.pipelines.reading.declarations import read_display
from agent_worker.pipelines.reading.fields import Fields
from agent_worker.pipelines.reading.nodes import MapNode, Node, Scalar, describe, plain
from agent_worker.pipelines.reading.scope import Scope

_MOST_ATTEMPTS = 20
_LONGEST_DELAY_S = 3600.0
_GREATEST_BACKOFF = 10.0
_GOTO = "goto "
_WORDS = "fail, continue, goto: STEP or default: VALUE"


class Common(TypedDict):
    """What every block is made with."""

    name: str
    path: Path
    line: int | None
    display: Display
    description: str | None
    title: str | None
    condition: Condition | None
    retry: Retry | None
    timeout_s: float | None
    on_error: OnError


def read_common(name: str, fields: Fields, display: Display, scope: Scope) -> Common:
    """Read the fields that every block may have.

    Args:
        name: The step's name.
        fields: The block's.
        display: What its kind shows when it does not say.
        scope: For the variable of `if`.
    """
    shown = read_display(fields, display)
    title = fields.text("title")
    if shown == "title" and title is None:
        fields.problems.warning(fields.at("display"), "the display is title, and there is no title")
    return Common(
        name=name,
        path=fields.path,
        line=fields.line,
        display=shown,
        description=fields.text("description"),
        title=title,
        condition=read_condition(fields, "if", scope),
        retry=_retry(fields),
        timeout_s=fields.duration("timeout"),
        on_error=_on_error(fields),
    )


def read_condition(fields: Fields, name: str, scope: Scope) -> Condition | None:
    """Read a condition whose variable must be known."""
    node = fields.node(name)
    if node is None:
        return None
    condition = parse_condition(node.text) if isinstance(node, Scalar) else None
    if condition is None:
        fields.problems.error(fields.at(name), f"this is no condition; {HINT}")
    elif condition.variable not in scope.names:
        fields.problems.unknown(fields.at(name), "input or variable", condition.variable, scope.names)
    return condition


def _retry(fields: Fields) -> Retry | None:
    section = fields.section("retry")
    if section is None:
        return None
    usual = Retry()
    attempts = section.whole("attempts", at_most=_MOST_ATTEMPTS)
    delay_s = section.duration("delay", at_most_s=_LONGEST_DELAY_S)
    backoff = section.number("backoff", at_least=1.0, at_most=_GREATEST_BACKOFF)
    max_s = section.duration("max", at_most_s=_LONGEST_DELAY_S)
    errors = tuple(_error_types(section))
    section.close()
    return Retry(
        attempts=usual.attempts if attempts is None else attempts,
        delay_s=usual.delay_s if delay_s is None else delay_s,
        backoff=usual.backoff if backoff is None else backoff,
        max_s=max(usual.max_s, delay_s or 0.0) if max_s is None else max_s,
        errors=errors,
    )


def _error_types(section: Fields) -> list[ErrorType]:
    found: list[ErrorType] = []
    for index, text in enumerate(section.texts("errors")):
        known = next((each for each in ERROR_TYPES if each == text), None)
        if known is None:
            section.problems.unknown((*section.at("errors"), index), "type of error", text, ERROR_TYPES)
        else:
            found.append(known)
    return found


def _on_error(fields: Fields) -> OnError:
    node = fields.node("onError")
    match node:
        case None | Scalar(value="fail"):
            return FAIL
        case Scalar(value="continue"):
            return Continue()
        case Scalar(value=str() as text) if text.startswith(_GOTO):
            return Goto(text.removeprefix(_GOTO).strip())
        case MapNode() if len(node.entries) == 1:
            (entry,) = node.entries.items()
            return _on_error_entry(entry[0], entry[1].node, fields)
        case _:
            shown = quoted(node.text) if isinstance(node, Scalar) else describe(node)
            fields.problems.error(fields.at("onError"), f"must be {_WORDS}; here it is {shown}")
            return FAIL


def _on_error_entry(key: str, node: Node, fields: Fields) -> OnError:
    path = (*fields.at("onError"), key)
    match key, node:
        case "goto", Scalar(value=str() as step):
            return Goto(step)
        case "goto", other:
            fields.problems.error(path, f"must be the name of a step, here it is {describe(other)}")
        case "default", value:
            return UseDefault(plain(value))
        case _:
            hint = suggestion(key, ("goto", "default"))
            fields.problems.error(path, f"there is no way {quoted(key)} to go on{hint}")
    return FAIL
