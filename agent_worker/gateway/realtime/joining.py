"""From `phx_join` to a channel: who asks, whether it may, what it missed, and what it follows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
import structlog

from agent_worker.db.topics import TopicRights
from agent_worker.domain.caller import Caller
from agent_worker.domain.errors import DatabaseUnavailable, GatewayError, SchemaOutOfDate
from agent_worker.gateway.realtime.binding import Binding, BindingRefused
from agent_worker.gateway.realtime.broadcast import Shout
from agent_worker.gateway.realtime.channel import Channel, Line
from agent_worker.gateway.realtime.frames import Message, reply
from agent_worker.gateway.realtime.identity import KEY_PREFIX, Identity
from agent_worker.gateway.realtime.joins import Join, JoinRefused, bindings, echo, parse_join
from agent_worker.gateway.realtime.refusals import UNREACHABLE, expired, token_problem

logger = structlog.get_logger(__name__)

CHANGES = "postgres_changes"
SUBSCRIBED = "Subscribed to PostgreSQL"
RETRY_S = (1.0, 5.0)
"""Shortest and longest pause before changes are asked for again while the database is away."""


class Joining:
    """A join under way; `run` is a task of its own, so that a slow one holds up nothing else on the socket.

    Args:
        line: The socket.
        message: The `phx_join`.
        payload: Its payload.

    Attributes:
        channel: What it has led to so far.
        is_joined: Whether the client has been told that it is in.
    """

    def __init__(self, line: Line, message: Message, payload: Mapping[str, Any]) -> None:
        self._line = line
        self._message = message
        self._payload = payload
        self.topic = message.topic
        self.join_ref = message.ref if message.join_ref is None else message.join_ref
        self.channel: Channel | None = None
        self.is_joined = False
        self._is_followed = False

    async def run(self) -> None:
        """Answer the join, then see to it that changes flow.

        Raises:
            JoinRefused: It is refused; the caller answers with that.
        """
        join = parse_join(self.topic, self._payload, self._line.hub.limits)
        caller, token = await self._caller(join)
        rights = await self._rights(join, caller)
        replayed = await self._replayed(join)
        identity = Identity(self._line.hub, join.name, caller=caller, token=token, rights=rights)
        channel = self.channel = Channel(self._line, self.topic, self.join_ref, join, identity)
        ids, response_json = echo(join.changes)
        if join.changes and join.wait_s is not None:
            await self._follow_first(channel, join, ids, join.wait_s)
        self._line.outbox.put_text(reply(self._line.version, self._message, "ok", response_json))
        self.is_joined = True
        channel.open(replayed=replayed)
        if join.tells_replication:
            channel.system("ok", "Replication connection established")
        if join.changes:
            await self._tell_when_followed(channel, join, ids)

    async def _caller(self, join: Join) -> tuple[Caller, str | None]:
        token = join.token
        if token is None or token.startswith(KEY_PREFIX):
            caller, token = self._line.caller, None
        else:
            try:
                caller = await self._line.hub.admit_token(token)
            except GatewayError as exc:
                raise JoinRefused(*token_problem(exc, token)) from exc
        reason = expired(caller, self._line.hub.now())
        if reason is not None:
            raise JoinRefused("InvalidJWTToken", reason)
        return caller, token

    async def _rights(self, join: Join, caller: Caller) -> TopicRights | None:
        if not join.is_private:
            return None
        try:
            rights = await self._line.hub.topics.may_read(join.name, caller)
        except DatabaseUnavailable as exc:
            raise JoinRefused("UnableToConnectToProject", UNREACHABLE) from exc
        if not rights.reads_any or (join.replay is not None and not rights.reads_broadcast):
            raise JoinRefused(
                "Unauthorized", f"You do not have permissions to read from this Channel topic: {join.name}"
            )
        return rights

    async def _replayed(self, join: Join) -> list[Shout]:
        if join.replay is None:
            return []
        try:
            messages = await self._line.hub.topics.replay(
                join.name, since_ms=join.replay.since_ms, limit=join.replay.limit
            )
        except (DatabaseUnavailable, SchemaOutOfDate, psycopg.Error) as exc:
            raise JoinRefused("UnableToReplayMessages", "Realtime was unable to replay messages") from exc
        return [
            Shout.stored(self.topic, each.event, each.payload_json, each.id, is_replayed=True)
            for each in messages
        ]

    async def _follow_first(self, channel: Channel, join: Join, ids: Sequence[int], wait_s: float) -> None:
        """Let changes flow before the join is answered.

        Raises:
            JoinRefused: A binding is refused, or it took longer than the client wants to wait.
        """
        try:
            wanted = bindings(join.changes, ids, self._line.hub.limits)
            async with asyncio.timeout(wait_s):
                await self._follow(channel, wanted)
        except BindingRefused as exc:
            raise JoinRefused("RealtimeDisabledForConfiguration", str(exc)) from exc
        except TimeoutError as exc:
            raise JoinRefused(
                "PostgresChangesSubscribeTimeout",
                f"Timed out after {wait_s * 1000:.0f}ms waiting for the postgres_changes subscription",
            ) from exc

    async def _tell_when_followed(self, channel: Channel, join: Join, ids: Sequence[int]) -> None:
        try:
            if not self._is_followed:
                wanted = bindings(join.changes, ids, self._line.hub.limits)
                await self._follow(channel, wanted)
        except BindingRefused as exc:
            channel.system("error", str(exc), extension=CHANGES)
        else:
            channel.system("ok", SUBSCRIBED, extension=CHANGES)

    async def _follow(self, channel: Channel, wanted: Sequence[Binding]) -> None:
        longest_s = RETRY_S[0]
        while True:
            try:
                await self._line.hub.changes.add(channel, wanted)
            except DatabaseUnavailable:
                if self.is_joined:
                    channel.system("error", UNREACHABLE, extension=CHANGES)
                await asyncio.sleep(random.uniform(0.5, 1.0) * longest_s)  # noqa: S311 - spreads load, guards nothing
                longest_s = min(longest_s * 2, RETRY_S[1])
            else:
                self._is_followed = True
                return
