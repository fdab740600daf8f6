"""Everything said on one socket: messages in, frames into its outbox. It knows no WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

import structlog

from agent_worker.domain.caller import Caller
from agent_worker.gateway.realtime.channel import Channel, Line
from agent_worker.gateway.realtime.frames import (
    MalformedFrame,
    Message,
    Ref,
    UserBroadcast,
    Version,
    decode,
    ending,
    narrowed,
)
from agent_worker.gateway.realtime.hub import Hub
from agent_worker.gateway.realtime.joining import Joining
from agent_worker.gateway.realtime.joins import JoinRefused
from agent_worker.gateway.realtime.limits import Bucket
from agent_worker.gateway.realtime.outbox import POLICY_VIOLATION, TRY_AGAIN_LATER, Outbox, Wire

logger = structlog.get_logger(__name__)

PHOENIX = "phoenix"


class Session:
    """One client's channels.

    Args:
        hub: What all sockets share.
        wire: Its connection.
        version: Version of the protocol that it speaks.
        caller: Whom its API key stands for.
        create_task: Starts a task whose owner outlives this session.

    Attributes:
        outbox: What is said to it.
    """

    def __init__(
        self,
        hub: Hub,
        wire: Wire,
        *,
        version: Version,
        caller: Caller,
        create_task: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
    ) -> None:
        self.outbox = Outbox(wire, hub.limits, hub.pool, on_overflow=self._drop)
        self._line = Line(version, caller, self.outbox, hub, self._spawn, self._forget)
        self._create_task = create_task
        self._limits = hub.limits
        self._joins: dict[str, tuple[Joining, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._messages = Bucket(per_s=self._limits.messages_per_s, burst=2 * self._limits.messages_per_s)
        self._join_calls = Bucket(per_s=self._limits.joins_per_s, burst=2 * self._limits.channels)

    async def receive(self, frame: str | bytes) -> None:
        """Act on a frame. One that cannot be read is ignored and counted like any other."""
        if not self._messages.take():
            self._part("Too many messages per second", POLICY_VIOLATION)
            return
        try:
            message = decode(frame, self._line.version)
        except MalformedFrame as exc:
            logger.debug("realtime.frame_malformed", problem=str(exc))
            return
        await self._act(message)

    def close(self) -> None:
        """Leave every channel, without a word; twice is fine."""
        for topic in tuple(self._joins):
            self._end(topic)
        for task in self._tasks:
            task.cancel()

    def dissolve(self) -> None:
        """Let go of what holds it, when all is over: its memory shall not wait for the garbage collector."""
        del self.outbox, self._line

    async def _act(self, message: Message) -> None:
        if message.topic == PHOENIX and message.event == "heartbeat":
            self._line.reply(message, "ok")
            return
        if message.event == "phx_join" and isinstance(message.payload, dict):
            self._join(message, message.payload)
            return
        message = self._mended(message)
        joining, _ = self._joins.get(message.topic, (None, None))
        if message.event == "phx_leave":
            self._leave(message, joining)
        elif joining is None or joining.channel is None or not joining.is_joined:
            self._line.reply(message, "error", {"reason": "unmatched topic"})
        elif _belongs(message.join_ref, joining.join_ref):
            await joining.channel.receive(message)

    def _mended(self, message: Message) -> Message:
        """Return a broadcast with the topic that its client meant."""
        if message.topic in self._joins or not isinstance(message.payload, UserBroadcast):
            return message
        for topic, (joining, _) in self._joins.items():
            if narrowed(topic) == message.topic and joining.join_ref == message.join_ref:
                return replace(message, topic=topic)
        return message

    def _join(self, message: Message, payload: Mapping[str, Any]) -> None:
        """Begin to join; a second join of a topic takes the place of the first, as in Phoenix."""
        if not self._join_calls.take():
            reason = "ClientJoinRateLimitReached: Too many joins per second"
            self._line.reply(message, "error", {"reason": reason})
            self._part(reason, POLICY_VIOLATION)
            return
        if message.topic in self._joins:
            old, _ = self._joins[message.topic]
            self._end(message.topic)
            self.outbox.put_text(ending(self._line.version, message.topic, "phx_close", old.join_ref))
        if len(self._joins) >= self._limits.channels:
            self._line.reply(message, "error", {"reason": "ChannelRateLimitReached: Too many channels"})
            return
        joining = Joining(self._line, message, payload)
        self._joins[message.topic] = joining, self._spawn(self._run(joining, message))

    async def _run(self, joining: Joining, message: Message) -> None:
        try:
            await joining.run()
        except JoinRefused as exc:
            logger.info("realtime.join_refused", topic=joining.topic[:200], reason=str(exc))
            self._refuse(joining, message, str(exc))
        except Exception:
            logger.exception("realtime.join_failed", topic=joining.topic[:200])
            self._fail(joining, message)

    def _fail(self, joining: Joining, message: Message) -> None:
        if joining.is_joined and joining.channel is not None:
            joining.channel.end("phx_error")
        else:
            self._refuse(joining, message, "UnknownErrorOnChannel: Unknown Error on Channel")

    def _refuse(self, joining: Joining, message: Message, reason: str) -> None:
        if joining.channel is not None:
            joining.channel.close()
        if self._joins.get(joining.topic, (None,))[0] is joining:
            del self._joins[joining.topic]
        self._line.reply(message, "error", {"reason": reason})

    def _leave(self, message: Message, joining: Joining | None) -> None:
        if joining is not None and not _belongs(message.join_ref, joining.join_ref):
            return  # it has crossed our own phx_close
        if joining is not None:
            self._end(message.topic)
        self._line.reply(message, "ok")
        if joining is not None:
            version = self._line.version
            self.outbox.put_text(ending(version, message.topic, "phx_close", joining.join_ref))

    def _end(self, topic: str) -> None:
        joining, task = self._joins.pop(topic)
        task.cancel()
        if joining.channel is not None:
            joining.channel.close()

    def _forget(self, channel: Channel) -> None:
        joining, task = self._joins.get(channel.topic, (None, None))
        if joining is not None and task is not None and joining.channel is channel:
            del self._joins[channel.topic]
            if task is not asyncio.current_task():
                task.cancel()

    def _drop(self) -> None:
        logger.warning("realtime.consumer_dropped", channels=len(self._joins))
        self._part("Messages were not read quickly enough", TRY_AGAIN_LATER)

    def _part(self, reason: str, code: int) -> None:
        """Tell every channel why, and close the socket: clients come back, and join again."""
        for joining, _ in tuple(self._joins.values()):
            if joining.is_joined and joining.channel is not None:
                joining.channel.system("error", reason)
        self.outbox.close(code, reason)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _belongs(join_ref: Ref, current: Ref) -> bool:
    """Whether a message belongs to the join that holds; version 1 need not say."""
    return join_ref is None or join_ref == current
