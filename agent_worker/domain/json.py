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

# \u0000 and lone surrogates as json.dumps(ensure_ascii=True) writes them; an even run of backslashes
# before the u means that the text itself holds a backslash, so the run is matched and looked at.
_UNSTORABLE = re.compile(r"(\\+)u(0000|d[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|d[89a-f][0-9a-f]{2})")
# json.dumps would make an encoder for each call.
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_REPLACEMENT = "\\ufffd"


def dump_json(value: JsonValue) -> str:
    """Write `value` as JSON text that `jsonb` accepts.

    NUL and lone surrogates inside strings become U+FFFD, the replacement character.

    Raises:
        ValueError: A number is NaN or infinite, or the structure refers to itself.
        TypeError: Something in it has no JSON form.
    """
    text = _encode(value)
    if "\\u0000" in text or "\\ud" in text:
        return _UNSTORABLE.sub(_mend, text)
    return text


def _mend(match: re.Match[str]) -> str:
    backslashes, code = match.groups()
    is_escape = len(backslashes) % 2 == 1
    is_surrogate_pair = len(code) > 4  # noqa: PLR2004 - one escape holds four digits, a pair ten
    if not is_escape or is_surrogate_pair:
        return match.group()
    return backslashes[:-1] + _REPLACEMENT


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
