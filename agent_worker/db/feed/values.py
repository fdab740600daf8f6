"""Make JSON text of PostgreSQL's text, as `to_jsonb` would, without asking the server for the usual types.

The text is that of a session with `DateStyle` ISO and `TimeZone` UTC. JSON text rather than Python values, because a
numeric keeps all its digits that way, and a jsonb value of a megabyte is not parsed to be written again.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_ZONE = re.compile(r"([+-]\d\d)(:\d\d)?(:\d\d)?(?= BC$|$)")

Nested: TypeAlias = "list[Nested | str | None]"


class Form(enum.Enum):
    """How a type is written in JSON."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    JSON = "json"
    TIMESTAMP = "timestamp"
    STRING = "string"
    ARRAY = "array"
    ASKED = "asked"
    """Only the server knows: a composite type, or one with a cast to json of its own, such as hstore."""


_FORMS = {
    **dict.fromkeys((20, 21, 23, 700, 701, 1700), Form.NUMBER),  # int8 int2 int4 float4 float8 numeric
    16: Form.BOOLEAN,
    **dict.fromkeys((114, 3802), Form.JSON),  # json jsonb
    **dict.fromkeys((1114, 1184), Form.TIMESTAMP),  # timestamp timestamptz
}


@dataclass(frozen=True, slots=True)
class Type:
    """What is to be known of a column's type.

    Attributes:
        oid: In `pg_type`.
        name: `typname`, as clients see it: `varchar`, `timestamptz`, `_text`.
        sql_name: How to write it in SQL, qualified where need be.
        base_oid: The type below a domain; `oid` itself for all others.
        form: How its values are written in JSON.
        element: Type of an array's elements; None when it is none.
        delimiter: Between the elements.
    """

    oid: int
    name: str
    sql_name: str
    base_oid: int
    form: Form
    element: Type | None = None
    delimiter: str = ","


def form_of(base_oid: int, element: Type | None, *, is_asked: bool) -> Form:
    """Tell how values of a type are written.

    Args:
        base_oid: The type below a domain; the type itself for all others.
        element: Type of an array's elements; None when it is none.
        is_asked: Whether it is composite or has a cast to json of its own.
    """
    if element is not None:
        return Form.ASKED if element.form is Form.ASKED else Form.ARRAY
    return Form.ASKED if is_asked else _FORMS.get(base_oid, Form.STRING)


def json_of(text: str | None, type_: Type) -> str:
    """Return the JSON text of one value.

    Args:
        text: PostgreSQL's text; None for NULL.
        type_: Of a form other than `ASKED`.
    """
    if text is None:
        return "null"
    match type_.form:
        case Form.JSON:
            written = text
        case Form.NUMBER if _NUMBER.fullmatch(text):  # NaN and Infinity are none in JSON
            written = text
        case Form.BOOLEAN:
            written = "true" if text == "t" else "false"
        case Form.TIMESTAMP:
            written = _string(_ZONE.sub(_full_zone, text.replace(" ", "T", 1), count=1))
        case Form.ARRAY if type_.element is not None:
            written = _json_array(parse_array(text, type_.delimiter), type_.element)
        case _:
            written = _string(text)
    return written


def parse_array(text: str, delimiter: str = ",") -> Nested:
    """Read an array's text into nested lists of its elements' texts.

    Raises:
        ValueError: It is no text of an array.
    """
    parts = _array_parts(text, delimiter)
    # Bounds other than 1 stand in front: [0:1]={a,b}.
    if text.startswith("["):
        parts = _array_parts(text[text.index("=") + 1 :], delimiter)
    stack: list[Nested] = []
    for kind, value in parts:
        if kind == "{":
            stack.append([])
        elif kind == "}":
            done = stack.pop()
            if not stack:
                return done
            stack[-1].append(done)
        else:
            stack[-1].append(value)
    raise ValueError("the text of an array has no end")


def array_text(values: Iterable[str | None]) -> str:
    """Write texts as the text of a one-dimensional array, each quoted."""
    return "{" + ",".join("NULL" if value is None else _quoted(value) for value in values) + "}"


def _quoted(item: str) -> str:
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _array_parts(text: str, delimiter: str) -> Iterator[tuple[str, str | None]]:
    pattern = re.compile(
        r'(?P<brace>[{}])|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^{}"' + re.escape(delimiter) + r"]+)",
        re.DOTALL,
    )
    for found in pattern.finditer(text):
        if brace := found["brace"]:
            yield brace, None
        elif found["quoted"] is not None:
            yield "value", re.sub(r"\\(.)", r"\1", found["quoted"], flags=re.DOTALL)
        else:
            bare = re.sub(r"\\(.)", r"\1", found["bare"], flags=re.DOTALL)
            yield "value", None if bare == "NULL" else bare


def _json_array(values: Nested, element: Type) -> str:
    return (
        "["
        + ", ".join(
            _json_array(value, element) if isinstance(value, list) else json_of(value, element)
            for value in values
        )
        + "]"
    )


def _full_zone(zone: re.Match[str]) -> str:
    hours, minutes, seconds = zone.groups()
    return f"{hours}{minutes or ':00'}{seconds or ''}"


_string = json.encoder.encode_basestring
