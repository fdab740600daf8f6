"""The keys of the project that stands in for Supabase, and whom each one is for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

SECRET = "sb_secret_Wq8vLr2NfYx0aJk5TzHcGd3M"
PUBLISHABLE = "sb_publishable_Zt4mBn7RsEu1oPi9VxCyLa2K"
_SIGNED_WITH = b"a-secret-that-only-the-project-knows-of"


def jwt(role: str) -> str:
    """Return a key of the older kind."""
    now = int(time.time())
    head, claims = (
        _encoded(json.dumps(part).encode())
        for part in (
            {"alg": "HS256", "typ": "JWT"},
            {"iss": "supabase", "role": role, "iat": now, "exp": now + 3600},
        )
    )
    return f"{head}.{claims}.{_signature(f'{head}.{claims}')}"


def role_of(key: str) -> str | None:
    """Return the role a key is for; None when nobody issued it."""
    if key in (SECRET, PUBLISHABLE):
        return "service_role" if key == SECRET else "anon"
    signed, _, signature = key.rpartition(".")
    if signed.count(".") != 1 or not hmac.compare_digest(signature, _signature(signed)):
        return None
    claims = signed.partition(".")[2]
    return str(json.loads(base64.urlsafe_b64decode(claims + "=="))["role"])


def _signature(signed: str) -> str:
    return _encoded(hmac.new(_SIGNED_WITH, signed.encode(), hashlib.sha256).digest())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
