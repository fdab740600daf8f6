"""Who asks, as PostgreSQL is to see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from agent_worker.domain.json import JsonObject

ANON = "anon"
AUTHENTICATED = "authenticated"
SERVICE_ROLE = "service_role"


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """A role and the claims that row level security reads; made by `agent_worker.security`, never from a body.

    Attributes:
        role: PostgreSQL role that statements run as: `anon`, `authenticated` or `service_role`.
        claims: What `auth.jwt()` answers: the token's claims with `role`; only `{"role": …}` for a bare API key.
        expires_at: When the token ends, in seconds since 1970; None for a bare API key.
    """

    role: str
    claims: JsonObject = field(default_factory=dict)
    expires_at: float | None = None

    @property
    def user_id(self) -> UUID | None:
        """The claim `sub` where it is a UUID, as `auth.uid()` reads it."""
        try:
            return UUID(str(self.claims["sub"]))
        except (KeyError, ValueError):
            return None
