"""The keys of a project of tests, tokens that it signed, and the door that knows them."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import jwt
from pydantic import SecretStr

from agent_worker.security.door import Door
from agent_worker.security.keys import ApiKeys
from agent_worker.security.tokens import TokenVerifier

PUBLISHABLE = "sb_publishable_Zt4mBn7RsEu1oPi9VxCyLa2K"
SECRET = "sb_secret_Wq8vLr2NfYx0aJk5TzHcGd3M"
JWT_SECRET = "a-secret-that-only-the-project-knows-of"
TOKEN_S = 3600
"""How long a token holds."""


def door() -> Door:
    """Return the door of this project."""
    keys = ApiKeys(SecretStr(PUBLISHABLE), SecretStr(SECRET))
    return Door(keys, TokenVerifier(jwt_secret=SecretStr(JWT_SECRET)))


def token(user_id: UUID | str, **claims: Any) -> str:
    """Sign a user in."""
    known = {"sub": str(user_id), "role": "authenticated", "aud": "authenticated"}
    return _signed(known | claims)


def legacy_key(role: str) -> str:
    """Return a key of the older kind."""
    return _signed({"iss": "supabase", "role": role, "iat": int(time.time())})


def _signed(claims: dict[str, Any]) -> str:
    return jwt.encode(claims | {"exp": int(time.time()) + TOKEN_S}, JWT_SECRET, algorithm="HS256")
