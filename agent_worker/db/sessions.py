"""Sessions of signed-in users, and the refresh tokens that keep them alive.

A refresh token is used once and replaced. One that comes back is either a second tab, or an answer that got lost: both
come within seconds, and get a sibling. Later it is a stolen one, in whoever's hands: then the session ends for both
(OAuth 2.0 Security Best Current Practice, RFC 9700 §4.14.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from agent_worker.db.transport import Transport
from agent_worker.db.users import User, user_of

REUSE_INTERVAL_S = 10.0
"""As long as on Supabase: seconds in which a used token is taken once more."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is open.

    Attributes:
        method: How the user signed in: `password` or `anonymous`.
        began_at: When, in seconds since 1970.
    """

    id: UUID
    user: User
    method: str
    began_at: int


@dataclass(frozen=True, slots=True)
class Reused:
    """A refresh token that had been used before, too long ago for a lost answer; its session has been ended."""

    session_id: UUID


class Sessions:
    """Opens, refreshes and closes sessions. Tokens come in as hashes."""

    def __init__(self, transport: Transport, *, reuse_interval_s: float = REUSE_INTERVAL_S) -> None:
        self._transport = transport
        self._reuse_interval_s = reuse_interval_s

    async def open(self, user_id: UUID, *, token_hash: bytes, method: str, user_agent: str) -> Session | None:
        """Open a session with its first refresh token; None when the user is gone."""
        rows = await self._transport.call(
            "open_session",
            {"user_id": user_id, "token_hash": token_hash, "method": method, "user_agent": user_agent},
        )
        if not rows:
            return None
        session_id, *columns = rows[0]
        user = user_of(columns)
        began_at = int((user.last_sign_in_at or user.created_at).timestamp())
        return Session(session_id, user, method, began_at)

    async def refresh(
        self, token_hash: bytes, *, next_hash: bytes, allow: Callable[[User], None]
    ) -> Session | Reused | None:
        """Put the next refresh token in the place of one; None when nobody has such a token.

        Args:
            token_hash: Of the token that came.
            next_hash: Of the one that goes back.
            allow: Raises for a user who may not go on, a banned one; then the token stays unused.
        """
        async with self._transport.together() as work:
            rows = await work.call("lock_refresh_token", {"token_hash": token_hash})
            if not rows:
                return None
            session_id, method, used_s, began_at, *columns = rows[0]
            if used_s is not None and used_s > self._reuse_interval_s:
                await work.call("close_session", {"session_id": session_id})
                return Reused(session_id)
            session = Session(session_id, user_of(columns), method, began_at)
            allow(session.user)
            hashes = {"token_hash": token_hash, "next_hash": next_hash}
            await work.call("rotate_refresh_token", {"session_id": session_id, **hashes})
            return session

    async def user(self, session_id: UUID, user_id: UUID) -> User | None:
        """Return a session's user; None once the session has ended."""
        rows = await self._transport.call("session_user", {"session_id": session_id, "user_id": user_id})
        return user_of(rows[0]) if rows else None

    async def close(self, session_id: UUID) -> None:
        """End one session; twice is fine."""
        await self._transport.call("close_session", {"session_id": session_id})

    async def close_all(self, user_id: UUID, *, but: UUID | None = None) -> None:
        """End a user's sessions, all but one if that is named."""
        await self._transport.call("close_sessions", {"user_id": user_id, "but": but})
