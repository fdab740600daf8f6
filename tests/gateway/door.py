"""The keys of a project, its tokens, and the door that knows them."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import jwt

from agent_worker.domain.caller import ANON, SERVICE_ROLE, Caller
from agent_worker.domain.errors import GatewayError

PUBLISHABLE = "sb_publishable_Zt4mBn7RsEu1oPi9VxCyLa2K"
SECRET = "sb_secret_Wq8vLr2NfYx0aJk5TzHcGd3M"
JWT_SECRET = "a-secret-that-only-the-project-knows-of"


def token(user_id: UUID | str, **claims: Any) -> str:
    """Sign a user in."""
    known = {"sub": str(user_id), "role": "authenticated", "aud": "authenticated"}
    return _signed(known | claims)


def legacy_key(role: str) -> str:
    """Return a key of the older kind."""
    return _signed({"iss": "supabase", "role": role, "iat": int(time.time())})


class Door:
    """Lets in whoever has one of the keys, or a token that the project signed."""

    async def admit(self, *, apikey: str | None, bearer: str | None, user_agent: str = "") -> Caller:
        """Return who asks; see `agent_worker.security`."""
        role = _role_of(apikey or "")
        if role is None:
            hint = "Double check your Supabase `anon` or `service_role` API key."
            raise GatewayError("Invalid API key", status=401, code="PGRST301", hint=hint)
        if bearer is None or bearer == apikey:
            return Caller(role, {"role": role})
        try:
            claims = jwt.decode(bearer, JWT_SECRET, ["HS256"], audience="authenticated")
        except jwt.InvalidTokenError as exc:
            raise GatewayError(str(exc), status=401, code="PGRST301") from exc
        return Caller(claims["role"], claims, claims["exp"])


def _role_of(key: str) -> str | None:
    if key in {PUBLISHABLE, SECRET}:
        return ANON if key == PUBLISHABLE else SERVICE_ROLE
    try:
        return str(jwt.decode(key, JWT_SECRET, ["HS256"])["role"])
    except jwt.InvalidTokenError:
        return None


def _signed(claims: dict[str, Any]) -> str:
    return jwt.encode(claims | {"exp": int(time.time()) + 3600}, JWT_SECRET, algorithm="HS256")
