"""Conditions: one small grammar, for prompts (`{{#if …}}`), for steps (`if:`) and for loops (`until:`).

A condition is `NAME`, `!NAME`, `NAME == "text"` or `NAME != "text"`. A name alone asks whether its value counts as
true: absent, null, false, "", "false" and "0" do not. Equality compares the value's text, and case matters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from agent_worker.domain.json import JsonValue

Operator: TypeAlias = Literal["true", "false", "equal", "different"]

HINT = 'write NAME, !NAME, NAME == "text" or NAME != "text"'

_TRUTH = re.compile(r"(!?)([A-Z][A-Z0-9_]{0,127})")
_COMPARISON = re.compile(r"([A-Z][A-Z0-9_]{0,127}) {0,8}(==|!=) {0,8}(?:\"([^\"]*)\"|'([^']*)')")
_LONGEST = 1000
_FALSE_TEXTS = frozenset({"", "false", "0"})


@dataclass(frozen=True, slots=True)
class Condition:
    """A question about one value.

    Attributes:
        variable: Whose value.
        operator: What is asked of it.
        literal: What it is compared with; empty unless the operator compares.
    """

    variable: str
    operator: Operator = "true"
    literal: str = ""

    def holds(self, values: Mapping[str, JsonValue]) -> bool:
        """Answer it; a name that is not in `values` is absent."""
        value = values.get(self.variable)
        match self.operator:
            case "true":
                return is_true(value)
            case "false":
                return not is_true(value)
            case "equal":
                return as_text(value) == self.literal
            case "different":
                return as_text(value) != self.literal
            case _:
                assert_never(self.operator)


def parse_condition(text: str) -> Condition | None:
    """Read a condition; None when the text is none."""
    stripped = text.strip()
    if len(stripped) > _LONGEST:
        return None
    if match := _TRUTH.fullmatch(stripped):
        return Condition(match[2], "false" if match[1] else "true")
    if match := _COMPARISON.fullmatch(stripped):
        literal = match[3] if match[3] is not None else match[4]
        return Condition(match[1], "equal" if match[2] == "==" else "different", literal)
    return None


def is_true(value: JsonValue) -> bool:
    """Tell whether a value counts as true; an empty list or object does."""
    return as_text(value) not in _FALSE_TEXTS


def as_text(value: JsonValue) -> str:
    """Write a value as prompts show it: text as it is, null as nothing, lists and objects as indented JSON."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() else repr(value)
        case _:
            return json.dumps(value, ensure_ascii=False, indent=2)
