"""What `auth/v1` answers: GoTrue's user and session, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agent_worker.db.sessions import Session
from agent_worker.db.users import User


def user_document(user: User) -> dict[str, Any]:
    """Return a user as clients know it; never its password's hash."""
    confirmed_at = _time(user.email_confirmed_at)
    return {
        "id": str(user.id),
        "aud": "authenticated",
        "role": "authenticated",
        "email": user.email or "",
        "email_confirmed_at": confirmed_at,
        "confirmed_at": confirmed_at,
        "phone": "",
        "last_sign_in_at": _time(user.last_sign_in_at),
        "app_metadata": user.app_metadata,
        "user_metadata": user.user_metadata,
        "identities": _identities(user),
        "created_at": _time(user.created_at),
        "updated_at": _time(user.updated_at),
        "is_anonymous": user.is_anonymous,
        "banned_until": _time(user.banned_until),
    }


def session_document(
    user: User, *, access_token: str, expires_at: int, lifetime_s: int, refresh_token: str
) -> dict[str, Any]:
    """Return a session as clients keep it."""
    return {
        "access_token": access_token,
        "token_type": "bearer",
        "expires_in": lifetime_s,
        "expires_at": expires_at,
        "refresh_token": refresh_token,
        "user": user_document(user),
    }


def session_claims(session: Session) -> Mapping[str, object]:
    """Return the claims of a session's access token beyond those that every token has."""
    user = session.user
    return {
        "email": user.email or "",
        "phone": "",
        "app_metadata": user.app_metadata,
        "user_metadata": user.user_metadata,
        "aal": "aal1",
        "amr": [{"method": session.method, "timestamp": session.began_at}],
        "session_id": str(session.id),
        "is_anonymous": user.is_anonymous,
    }


def _identities(user: User) -> list[dict[str, Any]]:
    if user.email is None:
        return []
    return [
        {
            "identity_id": str(user.id),
            "id": str(user.id),
            "user_id": str(user.id),
            "identity_data": {"email": user.email, "email_verified": True, "sub": str(user.id)},
            "provider": "email",
            "created_at": _time(user.created_at),
            "updated_at": _time(user.updated_at),
            "last_sign_in_at": _time(user.last_sign_in_at),
            "email": user.email,
        }
    ]


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
