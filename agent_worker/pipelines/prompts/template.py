"""What a prompt consists of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from agent_worker.pipelines.conditions import Condition


@dataclass(frozen=True, slots=True)
class Text:
    """Text as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class VariableTag:
    """`{{NAME}}`."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class IncludeTag:
    """`{{@path.md}}`; `name` is the prompt's, without `.md`."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class Case:
    """A condition and what is shown when it holds; None always does."""

    condition: Condition | None
    parts: tuple[Part, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Conditional:
    """`{{#if …}}` to `{{/if}}`: the first case that holds is shown, or none."""

    cases: tuple[Case, ...]


Part: TypeAlias = Text | VariableTag | IncludeTag | Conditional


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something in a prompt that is not as the grammar wants it."""

    message: str
    line: int
    is_error: bool = True


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt.

    Attributes:
        parts: In order.
        mistakes: What was wrong with it; a template with errors cannot be shown to a model.
    """

    parts: tuple[Part, ...]
    mistakes: tuple[Mistake, ...] = ()

    def variables(self) -> Iterator[VariableTag]:
        """Yield every `{{NAME}}` of this file, wherever it stands."""
        for part in _flat(self.parts):
            if isinstance(part, VariableTag):
                yield part

    def includes(self) -> Iterator[IncludeTag]:
        """Yield every include of this file."""
        for part in _flat(self.parts):
            if isinstance(part, IncludeTag):
                yield part

    def conditions(self) -> Iterator[tuple[Condition, int]]:
        """Yield every condition of this file, with its line."""
        for part in _flat(self.parts):
            if isinstance(part, Conditional):
                for case in part.cases:
                    if case.condition is not None:
                        yield case.condition, case.line


def _flat(parts: tuple[Part, ...]) -> Iterator[Part]:
    for part in parts:
        yield part
        if isinstance(part, Conditional):
            for case in part.cases:
                yield from _flat(case.parts)
