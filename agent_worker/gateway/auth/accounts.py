"""Signing up, in, on and out: the rules behind `auth/v1`.

A wrong password and an unknown address are one answer and take one time, so that nobody learns who has an account.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from agent_worker.db.sessions import Reused, Session, Sessions
from agent_worker.db.users import User, Users
from agent_worker.domain.caller import AUTHENTICATED, Caller
from agent_worker.domain.errors import GatewayError, ValueRefused
from agent_worker.domain.json import JsonObject
from agent_worker.gateway.auth.bodies import SHORTEST_PASSWORD, Grant, SignUp, UserChange
from agent_worker.gateway.auth.replies import session_claims, session_document
from agent_worker.security.limits import Buckets, too_many
from agent_worker.security.passwords import Passwords
from agent_worker.security.tokens import TokenIssuer

BY_EMAIL: JsonObject = {"provider": "email", "providers": ["email"]}
"""What app_metadata says of a user with an address."""

UNIQUE_VIOLATION = "23505"


class Accounts:
    """What users do with their own accounts.

    Args:
        users: The table of users.
        sessions: Their sessions.
        issuer: Signs access tokens.
        passwords: Hashes and checks.
        failures: One bucket for each e-mail address at each network address: wrong passwords that are forgiven.
    """

    def __init__(
        self,
        users: Users,
        sessions: Sessions,
        issuer: TokenIssuer,
        *,
        passwords: Passwords | None = None,
        failures: Buckets | None = None,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._issuer = issuer
        self.passwords = passwords or Passwords()
        self._failures = failures or Buckets(per_s=0.2, burst=20)

    async def sign_up(self, body: SignUp, *, user_agent: str) -> dict[str, Any]:
        """Add a user and open its first session.

        Raises:
            GatewayError: 422 user_already_exists or weak_password, 400 validation_failed.
        """
        if body.email is None and body.password is not None:
            raise _invalid("To signup, please provide your email")
        user = await self._users.add(
            email=body.email,
            password_hash=None if body.email is None else await self.new_hash(body.password),
            user_metadata=body.data or {},
            app_metadata={} if body.email is None else BY_EMAIL,
        )
        if user is None:
            raise _taken("User already registered", code="user_already_exists")
        return await self._open(user, "anonymous" if user.is_anonymous else "password", user_agent)

    async def sign_in(self, body: Grant, *, user_agent: str, address: str) -> dict[str, Any]:
        """Open a session with address and password.

        Raises:
            GatewayError: 400 invalid_credentials or validation_failed, 403 user_banned, 429 after many wrong passwords.
        """
        if body.email is None:
            raise _invalid("missing email or phone")
        # By address too: whoever fails on purpose must not lock the owner out.
        attempt = f"{body.email} {address}"
        if wait_s := self._failures.wait_s(attempt):
            raise too_many(wait_s)
        user = await self._users.by_email(body.email)
        is_right = await self.passwords.matches(body.password or "", user.password_hash if user else None)
        if user is None or not is_right:
            self._failures.take(attempt)
            raise GatewayError("Invalid login credentials", status=400, code="invalid_credentials")
        refuse_banned(user)
        return await self._open(user, "password", user_agent)

    async def refresh(self, body: Grant) -> dict[str, Any]:
        """Go on with a session.

        Raises:
            GatewayError: 400 refresh_token_not_found or refresh_token_already_used, 403 user_banned.
        """
        if not body.refresh_token:
            raise _invalid("refresh_token required")
        token = secrets.token_urlsafe(32)
        match await self._sessions.refresh(
            _hash(body.refresh_token), next_hash=_hash(token), allow=refuse_banned
        ):
            case Session() as session:
                return self._document(session, token)
            case Reused():
                raise GatewayError(
                    "Invalid Refresh Token: Already Used", status=400, code="refresh_token_already_used"
                )
            case None:
                raise GatewayError(
                    "Invalid Refresh Token: Refresh Token Not Found",
                    status=400,
                    code="refresh_token_not_found",
                )

    async def user(self, caller: Caller) -> User:
        """Return the user of a session that is open.

        Raises:
            GatewayError: 401 no_authorization, 403 session_not_found or user_not_found.
        """
        user_id, session_id = _session_of(caller)
        user = await self._sessions.user(session_id, user_id)
        if user is None:
            raise GatewayError(
                "Session from session_id claim in JWT does not exist", status=403, code="session_not_found"
            )
        return user

    async def change(self, caller: Caller, body: UserChange) -> User:
        """Change a user's address, password or metadata; a new password ends its other sessions.

        Raises:
            GatewayError: As `user`; 422 email_exists, same_password or weak_password.
        """
        user = await self.user(caller)
        password_hash = None
        if body.password is not None:
            if await self.passwords.matches(body.password, user.password_hash):
                raise _taken("New password should be different from the old password.", code="same_password")
            password_hash = await self.new_hash(body.password)
        is_named_now = user.is_anonymous and body.email is not None
        changed = await self.written(
            user.id,
            email=body.email if body.email != user.email else None,
            password_hash=password_hash,
            user_metadata=body.data or {},
            app_metadata=BY_EMAIL if is_named_now else {},
        )
        if password_hash is not None:
            await self._sessions.close_all(user.id, but=_session_of(caller)[1])
        return changed

    async def written(self, user_id: UUID, **changes: Any) -> User:
        """Change a user; see `Users.change`.

        Raises:
            GatewayError: 422 email_exists or validation_failed, 404 user_not_found.
        """
        try:
            changed = await self._users.change(user_id, **changes)
        except ValueRefused as exc:
            if exc.sqlstate == UNIQUE_VIOLATION:
                raise _taken(
                    "A user with this email address has already been registered", code="email_exists"
                ) from exc
            raise
        if changed is None:
            raise GatewayError("User not found", status=404, code="user_not_found")
        return changed

    async def sign_out(self, caller: Caller, scope: str) -> None:
        """End sessions: this one (`local`), the user's others (`others`) or all (`global`)."""
        user_id, session_id = _session_of(caller)
        if scope == "local":
            await self._sessions.close(session_id)
        else:
            await self._sessions.close_all(user_id, but=session_id if scope == "others" else None)

    async def new_hash(self, password: str | None) -> str:
        """Return what to store for a new password.

        Raises:
            GatewayError: 400 validation_failed, there is none; 422 weak_password.
        """
        if password is None:
            raise _invalid("Signup requires a valid password")
        if len(password) < SHORTEST_PASSWORD:
            raise GatewayError(
                f"Password should be at least {SHORTEST_PASSWORD} characters.",
                status=422,
                code="weak_password",
            )
        return await self.passwords.hash(password)

    async def _open(self, user: User, method: str, user_agent: str) -> dict[str, Any]:
        token = secrets.token_urlsafe(32)
        session = await self._sessions.open(
            user.id, token_hash=_hash(token), method=method, user_agent=user_agent
        )
        if session is None:
            raise GatewayError("User not found", status=404, code="user_not_found")
        return self._document(session, token)

    def _document(self, session: Session, refresh_token: str) -> dict[str, Any]:
        access_token, expires_at = self._issuer.issue(session.user.id, claims=session_claims(session))
        return session_document(
            session.user,
            access_token=access_token,
            expires_at=expires_at,
            lifetime_s=self._issuer.lifetime_s,
            refresh_token=refresh_token,
        )


def refuse_banned(user: User) -> None:
    """Raise GatewayError 403 for a user who may not sign in now."""
    if user.banned_until is not None and user.banned_until > datetime.now(UTC):
        raise GatewayError("User is banned", status=403, code="user_banned")


def _session_of(caller: Caller) -> tuple[UUID, UUID]:
    """Return the ids of the user and the session of a caller who signed in here."""
    user_id = caller.user_id
    if caller.role != AUTHENTICATED or user_id is None:
        raise GatewayError("This endpoint requires a Bearer token", status=401, code="no_authorization")
    try:
        return user_id, UUID(str(caller.claims.get("session_id")))
    except ValueError as exc:
        raise GatewayError(
            "Session from session_id claim in JWT does not exist", status=403, code="session_not_found"
        ) from exc


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _invalid(sentence: str) -> GatewayError:
    return GatewayError(sentence, status=400, code="validation_failed")


def _taken(sentence: str, *, code: str) -> GatewayError:
    return GatewayError(sentence, status=422, code=code)
