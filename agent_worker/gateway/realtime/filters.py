"""Read a filter: `column=operator.value`, and more of them after commas, all of which have to hold.

The grammar is that of Supabase Realtime, which borrows PostgREST's operators. `not.` before an operator turns its answer
round. Commas split at the top level only: not within parentheses, nor within a value in double quotes, where a backslash
takes the next character as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

OPERATORS = frozenset(
    ("eq", "neq", "lt", "lte", "gt", "gte", "in", "like", "ilike", "is", "match", "imatch", "isdistinct")
)
MOST_CHARACTERS = 16_384
"""Longest filter: a hundred UUIDs are 4,000 characters."""


class FilterMalformed(ValueError):
    """It is no filter; `str(error)` says what is wrong."""


@dataclass(frozen=True, slots=True)
class FilterTerm:
    """One condition of a filter, as it was written.

    Attributes:
        column: Its column.
        operator: One of `OPERATORS`.
        value: Right side without its quotes; for `in` the text of a PostgreSQL array.
        is_negated: Whether `not.` stood before the operator.
    """

    column: str
    operator: str
    value: str
    is_negated: bool


def parse_filter(text: str | None) -> tuple[FilterTerm, ...]:
    """Read a filter; nothing and blanks are a filter that lets everything through.

    Raises:
        FilterMalformed: See above.
    """
    if text is None or not text.strip():
        return ()
    if len(text) > MOST_CHARACTERS:
        raise FilterMalformed(f"a filter of more than {MOST_CHARACTERS} characters")
    if "\0" in text or (not text.isascii() and _is_broken(text)):
        raise FilterMalformed("a filter with characters that PostgreSQL cannot store")
    return tuple(_term(part.strip()) for part in _split(text.strip()))


def _is_broken(text: str) -> bool:
    """Whether half of a surrogate pair stands alone, as JSON allows."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _split(text: str) -> list[str]:
    parts = [""]
    depth = 0
    is_quoted = is_escaped = False
    for place, character in enumerate(text):
        if is_quoted:
            is_quoted = is_escaped or character != '"'
            is_escaped = character == "\\" and not is_escaped
        elif character == '"' and place and text[place - 1] in ".(,":
            is_quoted = True
        elif character == "," and depth == 0:
            parts.append("")
            continue
        elif character == "(":
            depth += 1
        elif character == ")":
            depth = max(0, depth - 1)
        parts[-1] += character
    return parts


def _term(text: str) -> FilterTerm:
    if not text:
        raise FilterMalformed("filter must not contain empty segments (check for extra commas)")
    column, equals, rest = text.partition("=")
    if not equals:
        raise FilterMalformed(f'["{text}"]')
    is_negated = rest.startswith("not.")
    operator, dot, value = rest.removeprefix("not.").partition(".")
    if not dot:
        raise FilterMalformed(f'["{operator}"]')
    if operator not in OPERATORS:
        raise FilterMalformed(f'["{operator}", "{value}"]')
    if operator == "in":
        if not (value.startswith("(") and value.endswith(")")):
            raise FilterMalformed("`in` filter value must be wrapped by parentheses")
        return FilterTerm(column, operator, "{" + value[1:-1] + "}", is_negated)
    return FilterTerm(column, operator, _unquoted(value), is_negated)


def _unquoted(value: str) -> str:
    """Take a quoted value out of its quotes; one whose quotes do not match is taken as it stands."""
    if not value.startswith('"'):
        return value
    taken = ""
    is_escaped = False
    for place, character in enumerate(value[1:], start=2):
        if is_escaped:
            taken += character
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        elif character == '"':
            return taken if place == len(value) else value
        else:
            taken += character
    return value
