"""What a client asks for when it joins a channel."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from agent_worker.domain.errors import AgentWorkerError
from agent_worker.gateway.realtime.binding import Binding, BindingRefused
from agent_worker.gateway.realtime.frames import encode_json, is_text
from agent_worker.gateway.realtime.limits import RealtimeLimits

TOPIC_PREFIX = "realtime:"

REPLAY_LIMIT = 25
"""Most messages of one replay (docs guides/realtime/broadcast, "Broadcast Replay")."""

_LONGEST_REPLAY_MS = 2**53
_EVENTS = frozenset({"*", "INSERT", "UPDATE", "DELETE"})


class JoinRefused(AgentWorkerError):
    """A join is answered with an error.

    Args:
        code: Upstream's name for it, such as `Unauthorized`; clients see `CODE: text`.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")


@dataclass(frozen=True, slots=True)
class Replay:
    """Messages of the past that a private channel asks for.

    Attributes:
        since_ms: Not older than this, in milliseconds since 1970.
        limit: At most so many, the newest; 1 to 25.
    """

    since_ms: int
    limit: int


@dataclass(frozen=True, slots=True)
class Join:
    """A join's payload, parsed.

    Attributes:
        name: The topic without `realtime:`.
        changes: Entries of `config.postgres_changes` as they came, to be echoed by position.
        presence_key: The client's own name in the presence list; empty lets the server choose.
        wait_s: Seconds that the reply may wait until changes flow; None answers at once.
        token: Access token; None takes the socket's caller.
    """

    name: str
    changes: tuple[Any, ...] = ()
    acknowledges: bool = False
    hears_itself: bool = False
    is_private: bool = False
    presence_key: str = ""
    shows_presence: bool = True
    tells_replication: bool = False
    replay: Replay | None = None
    wait_s: float | None = None
    token: str | None = None


def parse_join(topic: str, payload: Mapping[str, Any], limits: RealtimeLimits) -> Join:
    """Read a join.

    Raises:
        JoinRefused: The topic has no name, or a part of the configuration has another type than the protocol says.
    """
    name = topic.removeprefix(TOPIC_PREFIX)
    if not name or name == topic:
        raise JoinRefused("TopicNameRequired", "You must provide a topic name")
    config = _object(payload, "config")
    broadcast, presence = _object(config, "broadcast"), _object(config, "presence")
    changes = config.get("postgres_changes")
    if not isinstance(changes, list | None):
        _refuse("config.postgres_changes", "an array")
    is_private = _flag(config, "private")
    return Join(
        name=name,
        changes=tuple(entry for entry in changes or () if entry is not None),
        acknowledges=_flag(broadcast, "ack"),
        hears_itself=_flag(broadcast, "self"),
        is_private=is_private,
        presence_key=_text(presence, "key"),
        # Upstream shows presence to whoever says nothing about it.
        shows_presence=_flag({"enabled": True, **presence}, "enabled"),
        tells_replication=_flag(broadcast, "replication_ready"),
        replay=_replay(broadcast.get("replay"), is_private=is_private),
        wait_s=_wait_s(_object(config, "postgres_changes_options"), limits),
        token=_text(payload, "access_token") or _text(payload, "user_token") or None,
    )


def echo(changes: Sequence[Any]) -> tuple[list[int], str]:
    """Return the number of each entry, and the response to the join: each entry as it came, with its number.

    Numbers are stable, fit a double and are never 0, because clients test them for truth; equal entries share one.
    """
    ids: list[int] = []
    taken: dict[int, str] = {}
    echoed = []
    for entry in changes:
        text = encode_json(dict(sorted(entry.items())) if isinstance(entry, dict) else entry)
        number = zlib.crc32(text.encode()) or 1
        while taken.setdefault(number, text) != text:
            number += 1
        ids.append(number)
        echoed.append({**entry, "id": number} if isinstance(entry, dict) else {"id": number})
    return ids, f'{{"postgres_changes":{encode_json(echoed)}}}'


def bindings(changes: Sequence[Any], ids: Sequence[int], limits: RealtimeLimits) -> list[Binding]:
    """Return what to follow, each number once.

    Raises:
        BindingRefused: An entry names no table or schema, or a part of it has another type than the protocol says.
    """
    if len(changes) > limits.bindings:
        raise BindingRefused(
            f"Unable to subscribe to changes with given parameters. A channel follows at most {limits.bindings}."
        )
    found = {number: _binding(entry, number) for entry, number in zip(changes, ids, strict=True)}
    return list(found.values())


def _binding(entry: Any, number: int) -> Binding:
    if not isinstance(entry, dict) or not entry.keys() & {"schema", "table"}:
        raise BindingRefused(
            "No subscription params provided. "
            f"Please provide at least a `schema` or `table` to subscribe to: {encode_json(entry)[:500]}"
        )
    texts = {name: entry.get(name) for name in ("event", "schema", "table", "filter")}
    for name, value in texts.items():
        if value is not None and (not isinstance(value, str) or not is_text(value)):
            raise _bad_entry(f"`{name}` must be a string")
    select = entry.get("select")
    if select is not None and (
        not isinstance(select, list)
        or not all(isinstance(column, str) and is_text(column) for column in select)
    ):
        raise _bad_entry("`select` must be an array of strings")
    event = (texts["event"] or "*").upper()
    if event not in _EVENTS:
        raise _bad_entry("`event` must be INSERT, UPDATE, DELETE or *")
    schema = texts["schema"] or "public"
    return Binding(number, event, schema, texts["table"], texts["filter"], tuple(select) if select else None)


def _bad_entry(problem: str) -> BindingRefused:
    return BindingRefused(f"Unable to subscribe to changes with given parameters. {problem}")


def _object(parent: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        _refuse(name, "an object")
    return value


def _text(parent: Mapping[str, Any], name: str) -> str:
    value = parent.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        _refuse(name, "a string")
    return value


def _flag(parent: Mapping[str, Any], name: str) -> bool:
    """Return a boolean; some clients write it as a string."""
    match parent.get(name):
        case None | False | "false":
            return False
        case True | "true":
            return True
        case _:
            return _refuse(name, "a boolean")


def _replay(value: Any, *, is_private: bool) -> Replay | None:
    if value is None:
        return None
    if not is_private:
        raise JoinRefused("UnableToReplayMessages", "Replay is not allowed for public channels")
    since_ms, limit = (
        (value.get("since", 0), value.get("limit", REPLAY_LIMIT)) if isinstance(value, dict) else (None, None)
    )
    # bool is an int to Python, and no number to anybody else.
    if type(since_ms) is not int or type(limit) is not int or not 0 <= since_ms < _LONGEST_REPLAY_MS:
        raise JoinRefused("UnableToReplayMessages", "Replay params are not valid")
    return Replay(since_ms, max(1, min(limit, REPLAY_LIMIT)))


def _wait_s(options: Mapping[str, Any], limits: RealtimeLimits) -> float | None:
    if not _flag(options, "wait"):
        return None
    timeout_ms = options.get("timeout")
    if timeout_ms is None:
        return limits.wait_s
    if isinstance(timeout_ms, bool) or not isinstance(timeout_ms, int | float) or timeout_ms < 0:
        _refuse("postgres_changes_options.timeout", "a number of milliseconds")
    return min(timeout_ms / 1000, limits.longest_wait_s)


def _refuse(name: str, wanted: str) -> NoReturn:
    raise JoinRefused("InvalidJoinPayload", f"{name} must be {wanted}")
