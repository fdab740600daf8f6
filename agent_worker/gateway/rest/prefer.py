"""The header Prefer (RFC 7240), as far as PostgREST knows it.

Source: https://docs.postgrest.org/en/stable/references/api/preferences.html. The first value of a kind counts; what is
unknown is ignored, or refused with `handling=strict`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent_worker.db.access.query import Count, Duplicates, Returned
from agent_worker.domain.errors import GatewayError

_KNOWN = {
    "resolution": {"merge-duplicates", "ignore-duplicates"},
    "return": {"representation", "minimal", "headers-only"},
    "count": {"exact", "planned", "estimated"},
    "tx": {"commit", "rollback"},
    "missing": {"default", "null"},
    "handling": {"strict", "lenient"},
}


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a client prefers; None where it says nothing.

    Attributes:
        applied: What is answered in Preference-Applied, by kind.
    """

    resolution: Duplicates | None
    returned: Returned | None
    count: Count | None
    fills_defaults: bool
    is_undone: bool
    max_affected: int | None
    applied: dict[str, str]

    def header(self, *kinds: str) -> dict[str, str]:
        """Return the header that tells which of these kinds were applied; none for none."""
        applied = [f"{kind}={self.applied[kind]}" for kind in kinds if kind in self.applied]
        return {"Preference-Applied": ", ".join(applied)} if applied else {}


def preferences(headers: Iterable[str]) -> Preferences:
    """Read the values of all Prefer headers.

    Raises:
        GatewayError: With `handling=strict`, one of them is unknown (PGRST122).
    """
    given: dict[str, str] = {}
    unknown: list[str] = []
    for preference in (part.strip() for header in headers for part in header.split(",")):
        kind, _, value = preference.partition("=")
        if value in _KNOWN.get(kind, ()) or (kind == "max-affected" and value.isascii() and value.isdigit()):
            given.setdefault(kind, value)
        elif preference:
            unknown.append(preference)
    is_strict = given.get("handling") == "strict"
    if is_strict and unknown:
        raise GatewayError(
            "Invalid preferences given with handling=strict",
            status=400,
            code="PGRST122",
            details=f"Invalid preferences: {', '.join(unknown)}",
        )
    limit = given.get("max-affected") if is_strict else None
    if limit is None:
        given.pop("max-affected", None)
    return Preferences(
        resolution=Duplicates(given["resolution"]) if "resolution" in given else None,
        returned=Returned(given["return"]) if "return" in given else None,
        count=Count(given["count"]) if "count" in given else None,
        fills_defaults=given.get("missing") == "default",
        is_undone=given.get("tx") == "rollback",
        max_affected=None if limit is None else int(limit[:18]),
        applied=given,
    )
