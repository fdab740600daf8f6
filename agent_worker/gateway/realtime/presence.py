"""Who is there: one list per topic, told as a whole to whoever joins and as differences to everybody else.

Shapes are Phoenix's (`Phoenix.Presence`): `{key: {"metas": [{"phx_ref": …, …}]}}`; each member tracks at most one meta, and
several members may share a key.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from agent_worker.gateway.realtime.frames import encode_json

Metas: TypeAlias = dict[str, dict[str, list[dict[str, Any]]]]


@dataclass(frozen=True, slots=True)
class _Entry:
    key: str
    ref: str
    payload: Mapping[str, Any]
    previous_ref: str | None = None

    def meta(self) -> dict[str, Any]:
        chain = {} if self.previous_ref is None else {"phx_ref_prev": self.previous_ref}
        return {**self.payload, **chain, "phx_ref": self.ref}


class Roster:
    """The members of one topic, and what has changed since somebody was told.

    Args:
        new_ref: Makes a name for each meta, unique in this process.
    """

    def __init__(self, new_ref: Callable[[], str] = lambda: secrets.token_urlsafe(12)) -> None:
        self._new_ref = new_ref
        self._entries: dict[object, _Entry] = {}
        self._joined: dict[str, _Entry] = {}
        self._left: dict[str, _Entry] = {}

    def __len__(self) -> int:
        """Members that track something."""
        return len(self._entries)

    def track(self, member: object, key: str, payload: Mapping[str, Any]) -> bool:
        """Say or change what a member shows; False when that is what it shows already."""
        before = self._entries.get(member)
        if before is not None and (before.key, before.payload) == (key, payload):
            return False
        entry = _Entry(key, self._new_ref(), payload, before.ref if before else None)
        if before is not None:
            self._forget(before)
        self._entries[member] = entry
        self._joined[entry.ref] = entry
        return True

    def untrack(self, member: object) -> bool:
        """Take a member off the list; False when it was not on it."""
        entry = self._entries.pop(member, None)
        if entry is None:
            return False
        self._forget(entry)
        return True

    def state_json(self) -> str:
        """Return the whole list, the payload of `presence_state`."""
        return encode_json(_grouped(self._entries.values()))

    def take_diff_json(self) -> str | None:
        """Return the payload of `presence_diff` since the last call; None when nothing has changed."""
        if not self._joined and not self._left:
            return None
        diff = {"joins": _grouped(self._joined.values()), "leaves": _grouped(self._left.values())}
        self._joined, self._left = {}, {}
        return encode_json(diff)

    def _forget(self, entry: _Entry) -> None:
        # Whoever came and went between two tellings was never there for the others.
        if self._joined.pop(entry.ref, None) is None:
            self._left[entry.ref] = entry


def _grouped(entries: Iterable[_Entry]) -> Metas:
    grouped: Metas = {}
    for entry in entries:
        grouped.setdefault(entry.key, {"metas": []})["metas"].append(entry.meta())
    return grouped
