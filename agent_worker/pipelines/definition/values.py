"""Values that a field may hold: said in the definition, or taken from a variable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from agent_worker.domain.json import JsonValue


@dataclass(frozen=True, slots=True)
class Ref:
    """The value that a variable, input or resource has when it is needed."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that stands in the definition."""

    value: JsonValue


Value: TypeAlias = Ref | Constant


def resolve(value: Value, values: Mapping[str, JsonValue]) -> JsonValue:
    """Return what a value is; a variable without one is null."""
    match value:
        case Ref(name):
            return values.get(name)
        case Constant(known):
            return known
