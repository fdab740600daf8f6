"""Who may sign in by our gateway: the table `auth.users`. A hosted project has its own, which nothing here touches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from agent_worker.db.transport import Transport
from agent_worker.domain.json import JsonObject, dump_json


@dataclass(frozen=True, slots=True)
class User:
    """One row.

    Attributes:
        email: In lower case; None for an anonymous user.
        password_hash: See `security.passwords`; None without a password.
        app_metadata: Set with the secret key alone; policies may trust it.
        user_metadata: Set by the user.
        banned_until: Until when it may not sign in.
    """

    id: UUID
    email: str | None
    password_hash: str | None = field(repr=False)
    email_confirmed_at: datetime | None
    last_sign_in_at: datetime | None
    app_metadata: JsonObject
    user_metadata: JsonObject
    is_anonymous: bool
    banned_until: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class UserPage:
    """Some of the users, newest first, and the number of all."""

    users: Sequence[User]
    total: int


class Users:
    """Reads and writes users."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def is_ours(self) -> bool:
        """Whether the tables are those of bootstrap.sql and not a hosted project's."""
        ((found,),) = await self._transport.call("has_own_sign_in", {})
        return bool(found)

    async def add(
        self,
        *,
        email: str | None,
        password_hash: str | None,
        user_metadata: JsonObject,
        app_metadata: JsonObject,
    ) -> User | None:
        """Add a user, anonymous without an address; None when the address is taken.

        Args:
            email: In lower case; counts as confirmed.
            password_hash: Of the password.
            user_metadata: What the user says of itself.
            app_metadata: What it may be trusted with.

        Raises:
            ValueRefused: PostgreSQL does not take a value, or a trigger on the table refuses.
        """
        rows = await self._transport.call(
            "add_user",
            {
                "email": email,
                "password_hash": password_hash,
                "app_metadata": dump_json(app_metadata),
                "user_metadata": dump_json(user_metadata),
                "is_anonymous": email is None,
            },
        )
        return user_of(rows[0]) if rows else None

    async def by_email(self, email: str) -> User | None:
        """Return the user with an address in lower case."""
        rows = await self._transport.call("find_user", {"email": email})
        return user_of(rows[0]) if rows else None

    async def get(self, user_id: UUID) -> User | None:
        """Return one user."""
        rows = await self._transport.call("get_user", {"id": user_id})
        return user_of(rows[0]) if rows else None

    async def page(self, *, number: int, size: int) -> UserPage:
        """Return one page, the first being 1; past the end it is empty and its total 0."""
        rows = await self._transport.call("list_users", {"limit": size, "offset": (number - 1) * size})
        return UserPage([user_of(row[:-1]) for row in rows], rows[0][-1] if rows else 0)

    async def change(
        self,
        user_id: UUID,
        *,
        email: str | None = None,
        password_hash: str | None = None,
        user_metadata: JsonObject | None = None,
        app_metadata: JsonObject | None = None,
        ban_s: float | None = None,
    ) -> User | None:
        """Change what is given; metadata is merged key by key. None when there is no such user.

        Args:
            user_id: Whom.
            email: In lower case; makes an anonymous user a named one.
            password_hash: Of the new password.
            user_metadata: Keys to set; null takes one away.
            app_metadata: The same.
            ban_s: Seconds from now without sign-in; 0 lifts a ban.

        Raises:
            ValueRefused: 23505, the address is taken; or PostgreSQL does not take a value.
        """
        rows = await self._transport.call(
            "change_user",
            {
                "id": user_id,
                "email": email,
                "password_hash": password_hash,
                "user_metadata": dump_json(user_metadata or {}),
                "app_metadata": dump_json(app_metadata or {}),
                "ban_s": ban_s,
            },
        )
        return user_of(rows[0]) if rows else None

    async def remove(self, user_id: UUID) -> bool:
        """Delete a user with its sessions; false when there is none."""
        return bool(await self._transport.call("remove_user", {"id": user_id}))


def user_of(row: Sequence[Any]) -> User:
    """Make a user of the eleven columns that every statement about users answers with."""
    return User(*row)
