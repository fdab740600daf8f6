"""Whom a channel stands for, what that one may do on its topic, and until when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent_worker.db.topics import Extension, TopicRights
from agent_worker.domain.caller import Caller
from agent_worker.domain.errors import DatabaseUnavailable, GatewayError
from agent_worker.gateway.realtime.hub import Hub
from agent_worker.gateway.realtime.refusals import UNREACHABLE, expired, token_problem

KEY_PREFIX = "sb_"
"""API keys begin so; in the place of a token they stand for the socket's own caller."""

_UNAUTHORIZED = 401


class Identity:
    """A caller on one topic.

    Args:
        hub: Verifies tokens and knows who may use private topics.
        name: The topic without `realtime:`.
        caller: Whose eyes the channel has.
        token: The token that says so; None for an API key.
        rights: What it may hear on a private topic; None on a public one.
    """

    def __init__(
        self, hub: Hub, name: str, *, caller: Caller, token: str | None, rights: TopicRights | None
    ) -> None:
        self._hub = hub
        self._name = name
        self.caller = caller
        self._token = token
        self._rights = rights
        self._may_write: dict[Extension, bool] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def hears_broadcasts(self) -> bool:
        """Whether broadcasts are for its ears."""
        return self._rights is None or self._rights.reads_broadcast

    @property
    def sees_presence(self) -> bool:
        """Whether it may know who is there."""
        return self._rights is None or self._rights.reads_presence

    async def may_write(self, extension: Extension) -> bool:
        """Tell whether it may broadcast or be present; asked once for each token. False while the database is away."""
        if self._rights is None:
            return True
        if extension not in self._may_write:
            caller = self.caller
            try:
                may_write = await self._hub.topics.may_write(self._name, extension, caller)
            except DatabaseUnavailable:
                return False
            if caller is not self.caller:
                return False
            self._may_write[extension] = may_write
        return self._may_write[extension]

    async def refresh(self, token: str, socket_caller: Caller) -> str | None:
        """Take another token, or with an API key in its place the socket's own caller: somebody signed out.

        Returns:
            Why the channel is over; None when it goes on.
        """
        if token == self._token:
            return None
        is_key = token.startswith(KEY_PREFIX)
        try:
            caller = socket_caller if is_key else await self._hub.admit_token(token)
        except GatewayError as exc:
            return token_problem(exc, token)[1]
        if (reason := expired(caller, self._hub.now())) is not None:
            return reason
        # From here on, changes are read with the new eyes.
        self.caller, self._token = caller, None if is_key else token
        self._may_write.clear()
        return None if self._rights is None else await self._reread(self._rights)

    async def confirm(self) -> str | None:
        """Look at the token again; returns why the channel is over, None when it goes on."""
        reason = expired(self.caller, self._hub.now())
        token = self._token
        if reason is not None or token is None:
            return reason
        try:
            await self._hub.admit_token(token)
        except GatewayError as exc:
            # Anything but 401 may pass by itself, and a token that was replaced meanwhile is nobody's.
            if exc.status == _UNAUTHORIZED and token == self._token:
                return token_problem(exc, token)[1]
        return None

    def watch(self, on_due: Callable[[], object]) -> None:
        """Call when the token should be confirmed: at its end, and now and then before it.

        Its signer may have withdrawn the key meanwhile.
        """
        self.unwatch()
        if self.caller.expires_at is not None:
            left_s = max(0.0, self.caller.expires_at - self._hub.now())
            delay_s = min(left_s, self._hub.limits.recheck_s)
            self._timer = asyncio.get_running_loop().call_later(delay_s, on_due)

    def unwatch(self) -> None:
        """Call no more; twice is fine."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _reread(self, before: TopicRights) -> str | None:
        try:
            self._rights = await self._hub.topics.may_read(self._name, self.caller)
        except DatabaseUnavailable:
            return UNREACHABLE
        has_lost = (before.reads_broadcast and not self._rights.reads_broadcast) or (
            before.reads_presence and not self._rights.reads_presence
        )
        if has_lost:
            return f"You no longer have permission to read from this Channel topic: {self._name}"
        return None
