"""JSON as PostgreSQL can store it.

`jsonb` refuses three things that Python and language models produce: the NUL character, lone surrogates,
and the numbers NaN and ±Infinity. One bad character in one answer must not fail the write that carries it,
so text is mended here, at the door to the database; numbers are refused, because no honest mend exists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
JsonObject: TypeAlias = Mapping[str, JsonValue]

_SURROGATE = re.compile("[\ud800-\udfff]")
# json.dumps would make an encoder for each call.
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_encode_as_it_is = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def dump_json(value: JsonValue) -> str:
    """Write `value` as JSON text that `jsonb` accepts.

    NUL and lone surrogates inside strings become U+FFFD, the replacement character.

    Raises:
        ValueError: A number is NaN or infinite, or the structure refers to itself.
        TypeError: Something in it has no JSON form.
    """
    text = _encode(value)
    if "\\u0000" not in text and "\\ud" not in text:
        return text
    # Unescaped, characters beyond the basic plane are one each, and what is left of surrogates has lost its other half.
    as_it_is = _encode_as_it_is(value)
    mended = _without_nul(_SURROGATE.sub("\ufffd", as_it_is))
    return text if mended == as_it_is else _encode(json.loads(mended))


def _without_nul(encoded: str) -> str:
    """Replace the escape of NUL. A backslash of the text itself is written twice, and what follows it is no escape."""
    parts = encoded.split(r"\\")
    return r"\\".join([part.replace(r"\u0000", r"\ufffd") for part in parts])


def find_nul(value: JsonValue, path: str = "$") -> str | None:
    """Return the JSON path of the first string or key that holds a NUL character, or None."""
    match value:
        case str():
            return path if "\x00" in value else None
        case Mapping():
            for key, item in value.items():
                if "\x00" in key:
                    return path
                if found := find_nul(item, f"{path}.{key}"):
                    return found
            return None
        case Sequence():
            found_paths = (find_nul(item, f"{path}[{index}]") for index, item in enumerate(value))
            return next((found for found in found_paths if found), None)
        case _:
            return None
