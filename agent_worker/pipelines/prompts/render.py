"""What a model reads: a prompt with its includes, conditionals and values put in.

Includes are resolved first, then conditionals, then variables. A value is put in as it is and never read as a prompt, so
nothing that a user or a model wrote can bring in a variable or a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.json import JsonValue
from agent_worker.pipelines.conditions import as_text
from agent_worker.pipelines.definition.declarations import Dialect
from agent_worker.pipelines.prompts.template import (
    Conditional,
    IncludeTag,
    Part,
    Template,
    Text,
    VariableTag,
)

MAX_INCLUDE_DEPTH = 16
"""Longest chain of prompts that include each other."""
MAX_CHARACTERS = 4 * 1024 * 1024
"""Longest text of a prompt with everything put in."""
_MOST_PARTS = 100_000


def render(
    name: str,
    values: Mapping[str, JsonValue],
    *,
    prompts: Mapping[str, Template],
    dialect: Dialect,
) -> str:
    """Return the text of a prompt.

    Args:
        name: The prompt's name.
        values: By name in the prompt: exactly what the block's `input` maps. Null shows as nothing.
        prompts: All prompts of a valid definition.
        dialect: What becomes of a variable that is not in `values`.

    Raises:
        ProcessorError: `prompt_too_large`, which another attempt would not change.
    """
    pieces: list[str] = []
    size = 0
    for piece in _rendered(prompts[name].parts, values, prompts, dialect):
        size += len(piece)
        if size > MAX_CHARACTERS or len(pieces) == _MOST_PARTS:
            raise ProcessorError(
                f"The prompt {name!r} is too large with everything put in: more than {MAX_CHARACTERS:,} characters, "
                f"or {_MOST_PARTS:,} parts.",
                code="prompt_too_large",
                retryable=False,
            )
        pieces.append(piece)
    return "".join(pieces)


def _rendered(
    parts: tuple[Part, ...],
    values: Mapping[str, JsonValue],
    prompts: Mapping[str, Template],
    dialect: Dialect,
) -> Iterator[str]:
    rest = [iter(parts)]  # no recursion: each piece would pass through every prompt around it
    while rest:
        match next(rest[-1], None):
            case None:
                rest.pop()
            case Text(text):
                yield text
            case VariableTag(name):
                yield _value(name, values, dialect)
            case IncludeTag(name):
                yield ""  # counted, for prompts of nothing but includes can have no end
                rest.append(iter(prompts[name].parts))
            case Conditional(cases):
                yield ""
                holding = (
                    case.parts for case in cases if case.condition is None or case.condition.holds(values)
                )
                rest.append(iter(next(holding, ())))


def _value(name: str, values: Mapping[str, JsonValue], dialect: Dialect) -> str:
    if name in values:
        return as_text(values[name])
    return "" if dialect == "2.3" else f"{{{{{name}}}}}"
