"""One topic on one socket, from the reply to its join until it is over."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from uuid import uuid4

import structlog

from agent_worker.domain.caller import Caller
from agent_worker.domain.json import JsonObject
from agent_worker.gateway.realtime.broadcast import Shout
from agent_worker.gateway.realtime.frames import (
    Message,
    Ref,
    UserBroadcast,
    Version,
    around,
    encode_json,
    ending,
    push,
    reply,
)
from agent_worker.gateway.realtime.hub import Hub, Room
from agent_worker.gateway.realtime.identity import Identity
from agent_worker.gateway.realtime.joins import Join
from agent_worker.gateway.realtime.limits import Window
from agent_worker.gateway.realtime.outbox import Outbox

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Line:
    """What the channels of one socket share.

    Attributes:
        caller: Whom the API key of the handshake stands for.
        spawn: Starts a task that the socket owns and ends.
        on_over: Called with a channel that has ended by itself.
    """

    version: Version
    caller: Caller
    outbox: Outbox
    hub: Hub
    spawn: Callable[[Coroutine[None, None, None]], object]
    on_over: Callable[[Channel], None]

    def reply(self, to: Message, status: str, response: JsonObject | None = None) -> None:
        """Answer a message; `status` is ok or error."""
        self.outbox.put_text(reply(self.version, to, status, encode_json(response or {})))


class Channel:
    """A topic that a socket has joined: a `Subscriber` of changes and a `Listener` of its room.

    Args:
        line: Its socket.
        topic: With `realtime:`.
        join_ref: Number of the join.
        join: What it asked for.
        identity: Whom it stands for.
    """

    def __init__(self, line: Line, topic: str, join_ref: Ref, join: Join, identity: Identity) -> None:
        self._line = line
        self._topic = topic
        self._join_ref = join_ref
        self._join = join
        self._identity = identity
        self._room: Room | None = None
        self._is_over = False
        self._early: list[tuple[Sequence[int], str]] = []
        self._replayed: frozenset[str] = frozenset()
        self._shows_presence = join.shows_presence
        self._presence_key = join.presence_key or str(uuid4())
        limits = line.hub.limits
        self._tracks = Window(most=limits.tracks, window_s=limits.tracks_window_s)
        self._change_head, self._change_tail = around(line.version, topic, "postgres_changes")

    @property
    def topic(self) -> str:
        """With `realtime:`."""
        return self._topic

    @property
    def caller(self) -> Caller:
        """Whose eyes it has now."""
        return self._identity.caller

    def open(self, *, replayed: Sequence[Shout] = ()) -> None:
        """Begin to hear: past messages first, then who is there, then what happened during the join."""
        self._room = self._line.hub.enter(self, self._join.name, is_private=self._join.is_private)
        for shout in replayed:
            self.hear(shout)
        self._replayed = frozenset(shout.message_id for shout in replayed if shout.message_id)
        if self._shows_presence and self._identity.sees_presence:
            self._room.show(self)
        early, self._early = self._early, []
        for ids, data_json in early:
            self.deliver(ids, data_json)
        self._identity.watch(self._confirm)

    def close(self) -> None:
        """Hear no more, without a word; twice is fine."""
        self._is_over = True
        self._identity.unwatch()
        self._line.hub.changes.remove(self)
        self._line.hub.leave(self, self._join.name, is_private=self._join.is_private)

    def stop(self, reason: str) -> None:
        """End the channel, and say why; realtime-js goes to CLOSED and does not join again by itself."""
        if not self._is_over:
            logger.info("realtime.channel_stopped", topic=self._topic[:200], reason=reason)
            self.system("error", reason)
            self.end("phx_close")

    def end(self, event: str) -> None:
        """End the channel with `phx_close`, or with `phx_error`, after which clients join again."""
        self.close()
        self._line.outbox.put_text(ending(self._line.version, self._topic, event, self._join_ref))
        self._line.on_over(self)

    def system(self, status: str, message: str, *, extension: str = "system") -> None:
        """Tell the client how a part of the channel is doing."""
        payload = {"message": message, "status": status, "extension": extension, "channel": self._join.name}
        self._push("system", encode_json(payload))

    def deliver(self, ids: Sequence[int], data_json: str) -> None:
        """Take one database change; see `Subscriber`."""
        if self._room is None:
            # A client does not know the numbers of its bindings before the reply to its join.
            self._early.append((ids, data_json))
            return
        middle = f'{{"ids":[{",".join(map(str, ids))}],"data":'
        frame = (self._change_head, middle, data_json, "}", self._change_tail)
        self._line.outbox.put(frame, len(data_json) + len(middle) + len(self._change_head))

    def hear(self, shout: Shout) -> None:
        """Take one broadcast; see `Listener`."""
        if not self._identity.hears_broadcasts or shout.message_id in self._replayed:
            return
        frame = shout.frame(self._line.version)
        if frame is not None:
            self._line.outbox.put(frame, len(frame))

    def see(self, event: str, payload_json: str) -> None:
        """Take news of who is there; see `Listener`."""
        if self._shows_presence and self._identity.sees_presence:
            self._push(event, payload_json)

    async def receive(self, message: Message) -> None:
        """Act on a message of the client. What is unknown is left alone, as upstream does."""
        match message.event, message.payload:
            case "broadcast", payload:
                await self._broadcast(message, payload)
            case "presence", dict(payload):
                await self._presence(message, payload)
            case "access_token", {"access_token": str(token)}:
                await self._refresh(token)
            case _:
                logger.debug("realtime.message_ignored", message=message.event[:100])

    async def _broadcast(self, message: Message, payload: JsonObject | UserBroadcast) -> None:
        limit = self._line.hub.limits.broadcast_bytes
        shout, size = self._shout(payload)
        problem = None
        if shout is None:
            problem = "A broadcast needs an event, which is a string"
        elif size > limit:
            problem = f"Payload size exceeds the limit of {limit} bytes"
        elif not await self._identity.may_write("broadcast"):
            problem = self._no_permission()
        else:
            sender = None if self._join.hears_itself else self
            self._line.hub.say(shout, self._join.name, is_private=self._join.is_private, but=sender)
        if self._join.acknowledges:
            self._line.reply(message, "error" if problem else "ok", {"reason": problem} if problem else None)

    def _shout(self, payload: JsonObject | UserBroadcast) -> tuple[Shout | None, int]:
        if isinstance(payload, UserBroadcast):
            return Shout.pushed(self._topic, payload), len(payload.body)
        event = payload.get("event")
        if not isinstance(event, str):
            return None, 0
        payload_json = encode_json(payload.get("payload", {}))
        return Shout(self._topic, event, payload_json=payload_json), len(payload_json)

    async def _presence(self, message: Message, payload: JsonObject) -> None:
        if not self._tracks.take():
            self.stop("Client presence rate limit exceeded")
            return
        match payload.get("event"), payload.get("payload", {}):
            case str(event), _ if event.lower() == "untrack":
                self._untrack(message)
            case str(event), dict(meta) if event.lower() == "track":
                await self._track(message, meta)
            case str(event), _ if event.lower() == "track":
                self._line.reply(message, "error", {"reason": "Presence track payload must be a map"})
            case _:
                self._line.reply(message, "error", {"reason": "Presence knows the events track and untrack"})

    async def _track(self, message: Message, meta: dict[str, object]) -> None:
        if len(encode_json(meta)) > self._line.hub.limits.broadcast_bytes:  # type: ignore[arg-type]  # it was JSON
            self.stop("Track message size exceeded")
            return
        if not await self._identity.may_write("presence"):
            self._line.reply(message, "error", {"reason": self._no_permission()})
            return
        if self._room is None or self._is_over:
            return
        self._line.reply(message, "ok")
        if not self._shows_presence:  # whoever shows itself wants to see the others
            self._shows_presence = True
            if self._identity.sees_presence:
                self._room.show(self)
        self._room.track(self, self._presence_key, meta)

    def _untrack(self, message: Message) -> None:
        if self._room is not None:
            self._room.untrack(self)
        self._line.reply(message, "ok")

    async def _refresh(self, token: str) -> None:
        reason = await self._identity.refresh(token, self._line.caller)
        self._go_on_unless(reason)

    def _confirm(self) -> None:
        self._line.spawn(self._confirmed())

    async def _confirmed(self) -> None:
        self._go_on_unless(await self._identity.confirm())

    def _go_on_unless(self, reason: str | None) -> None:
        if reason is not None:
            self.stop(reason)
        elif not self._is_over:
            self._identity.watch(self._confirm)

    def _push(self, event: str, payload_json: str) -> None:
        self._line.outbox.put_text(push(self._line.version, self._topic, event, payload_json))

    def _no_permission(self) -> str:
        return f"You do not have permissions to write to this Channel topic: {self._join.name}"
