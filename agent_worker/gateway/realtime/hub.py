"""Which channels of which sockets are on a topic, and what is said there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from agent_worker.db.topics import Topics
from agent_worker.domain.caller import Caller
from agent_worker.domain.errors import GatewayError
from agent_worker.gateway.realtime.binding import Binding, Broadcast, Subscriber
from agent_worker.gateway.realtime.broadcast import Shout
from agent_worker.gateway.realtime.joins import TOPIC_PREFIX
from agent_worker.gateway.realtime.limits import RealtimeLimits
from agent_worker.gateway.realtime.outbox import Pool
from agent_worker.gateway.realtime.presence import Roster

PRESENCE_DELAY_S = 0.02
"""Who comes and goes within this time is told in one message: a hundred members that join at once are no 10,000."""


class Listener(Protocol):
    """A joined channel, as a room sees it."""

    def hear(self, shout: Shout) -> None:
        """Take a broadcast. Never blocks."""

    def see(self, event: str, payload_json: str) -> None:
        """Take news of who is there. Never blocks."""


class ChangeSource(Protocol):
    """Where database changes come from; see `realtime.changes`."""

    async def add(self, subscriber: Subscriber, bindings: Sequence[Binding]) -> None:
        """Return when changes flow to the subscriber; raises `BindingRefused`."""

    def remove(self, subscriber: Subscriber) -> None:
        """Send it no more; what was never added is fine."""

    def broadcasts(self, on_message: Callable[[Broadcast], None]) -> None:
        """Call this for each row inserted into `realtime.messages`."""


class Room:
    """Everybody on one topic. Public and private channels of one name are two rooms, as upstream.

    Args:
        topic: With `realtime:`.
    """

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.listeners: dict[Listener, None] = {}
        self._roster = Roster()
        self._telling: asyncio.TimerHandle | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nobody is left."""
        return not self.listeners

    def say(self, shout: Shout, *, but: Listener | None = None) -> None:
        """Let everybody hear a broadcast, but for one where that is wanted."""
        for listener in tuple(self.listeners):
            if listener is not but:
                listener.hear(shout)

    def track(self, listener: Listener, key: str, payload: dict[str, object]) -> None:
        """Put a listener on the list, or change what it shows."""
        if self._roster.track(listener, key, payload):
            self._tell_soon()

    def untrack(self, listener: Listener) -> None:
        """Take a listener off the list."""
        if self._roster.untrack(listener):
            self._tell_soon()

    def show(self, listener: Listener) -> None:
        """Tell one listener who is there."""
        self._tell()  # so that nothing in the list is told again as news
        listener.see("presence_state", self._roster.state_json())

    def close(self) -> None:
        """Tell nobody any more."""
        if self._telling is not None:
            self._telling.cancel()

    def _tell_soon(self) -> None:
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(PRESENCE_DELAY_S, self._tell)

    def _tell(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        diff = self._roster.take_diff_json()
        if diff is not None:
            for listener in tuple(self.listeners):
                listener.see("presence_diff", diff)


class Hub:
    """All rooms of one gateway, and what its sockets share.

    Args:
        changes: Database changes; its owner starts and stops it.
        topics: Asks who may use private topics.
        admit_token: Returns whom an access token stands for, or raises GatewayError: `Door.admit_token`.
        limits: Bounds of each socket and of all.
        now: The present, in seconds since 1970.
    """

    def __init__(
        self,
        *,
        changes: ChangeSource,
        topics: Topics,
        admit_token: Callable[[str], Awaitable[Caller]],
        limits: RealtimeLimits | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.changes = changes
        self.topics = topics
        self.admit_token = admit_token
        self.limits = limits or RealtimeLimits()
        self.now = now
        self.pool = Pool()
        self._rooms: dict[tuple[str, bool], Room] = {}
        changes.broadcasts(self._hear_stored)

    @property
    def channels(self) -> int:
        """Channels that are joined."""
        return sum(len(room.listeners) for room in self._rooms.values())

    def require_room(self) -> None:
        """Raise GatewayError 429 when as many sockets are open as may be."""
        if self.pool.sockets >= self.limits.sockets:
            raise GatewayError("Too many connected users", status=429, code="too_many_connections")

    def enter(self, listener: Listener, name: str, *, is_private: bool) -> Room:
        """Put a channel into the room of its topic, given without `realtime:`."""
        room = self._rooms.get((name, is_private))
        if room is None:
            room = self._rooms[name, is_private] = Room(TOPIC_PREFIX + name)
        room.listeners[listener] = None
        return room

    def leave(self, listener: Listener, name: str, *, is_private: bool) -> None:
        """Take a channel out of its room, and off the list of who is there; twice is fine."""
        room = self._rooms.get((name, is_private))
        if room is None or listener not in room.listeners:
            return
        del room.listeners[listener]
        room.untrack(listener)
        if room.is_empty:
            room.close()
            del self._rooms[name, is_private]

    def say(self, shout: Shout, name: str, *, is_private: bool, but: Listener | None = None) -> None:
        """Let everybody on a topic hear a broadcast; nobody there is fine."""
        room = self._rooms.get((name, is_private))
        if room is not None:
            room.say(shout, but=but)

    def _hear_stored(self, message: Broadcast) -> None:
        topic = TOPIC_PREFIX + message.topic
        shout = Shout.stored(topic, message.event, message.payload_json, message.id)
        self.say(shout, message.topic, is_private=message.private)
