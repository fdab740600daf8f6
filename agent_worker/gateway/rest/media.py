"""Which form of JSON a client accepts.

Source: https://docs.postgrest.org/en/stable/references/api/media_type_handlers.html and resource_representation.html.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent_worker.domain.errors import GatewayError

_JSON = "application/json"
_OBJECT = "application/vnd.pgrst.object"
_ARRAY = "application/vnd.pgrst.array"


@dataclass(frozen=True, slots=True)
class Media:
    """A form of JSON.

    Attributes:
        content_type: What the answer says it is.
        is_single: Whether it is one object and not an array.
        strips_nulls: Whether members that are null are left out.
    """

    content_type: str
    is_single: bool = False
    strips_nulls: bool = False


def accepted(header: str | None) -> Media:
    """Return the form that a client likes best of those there are.

    Raises:
        GatewayError: It accepts none of them (PGRST107).
    """
    wanted = [part.strip() for part in (header or "*/*").split(",") if part.strip()]
    for _, _, kind in sorted((-_quality(kind), place, kind) for place, kind in enumerate(wanted)):
        found = _media(kind)
        if found is not None and _quality(kind) > 0:
            return found
    raise GatewayError(
        f"None of these media types are available: {', '.join(wanted)}", status=406, code="PGRST107"
    )


def _media(kind: str) -> Media | None:
    name, *given = (part.strip().lower() for part in kind.split(";"))
    strips_nulls = "nulls=stripped" in given
    stripped = ";nulls=stripped" if strips_nulls else ""
    match name.removesuffix("+json"):
        case "*/*" | "application/*" | "application/json":
            return Media(f"{_JSON}; charset=utf-8")
        case "application/vnd.pgrst.object":
            content_type = f"{_OBJECT}+json{stripped}; charset=utf-8"
            return Media(content_type, is_single=True, strips_nulls=strips_nulls)
        case "application/vnd.pgrst.array":
            return Media(f"{_ARRAY}+json{stripped}; charset=utf-8", strips_nulls=strips_nulls)
        case _:
            return None


def _quality(kind: str) -> float:
    for part in kind.split(";")[1:]:
        name, _, value = part.strip().partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
