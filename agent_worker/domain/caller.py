"""Who asks, as PostgreSQL is to see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from agent_worker.domain.json import JsonObject, dump_json

ANON = "anon"
AUTHENTICATED = "authenticated"
SERVICE_ROLE = "service_role"


@dataclass(frozen=True, slots=True)
class Eyes:
    """Whose policies apply: callers with the same role and claims see the same.

    Attributes:
        role: PostgreSQL role.
        claims: JSON text of the claims with the role, sorted by name.
    """

    role: str
    claims: str


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

    def eyes(self) -> Eyes:
        """Return what row level security knows of the caller."""
        claims = {**self.claims, "role": self.role}
        return Eyes(self.role, dump_json(dict(sorted(claims.items()))))
