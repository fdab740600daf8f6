"""JSON Web Tokens: who signed in, told by a signature.

Two kinds of signer are believed: whoever holds the project's secret (HS256), and the keys published at a JWKS address
(RS256, ES256, EdDSA; RFC 7517). The algorithm in a token's head never chooses the kind of key: HS256 is tried with the
secret alone, and a public key serves only the algorithm of its own type, so that a token "signed" with a public key's
text is a wrong signature (RFC 8725 §2.1). `none` is nobody's algorithm.

Refusals have PostgREST's codes: PGRST301 for a token that cannot be believed, PGRST303 for claims that do not hold now.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import jwt
from pydantic import SecretStr

from agent_worker.domain.caller import ANON, AUTHENTICATED, SERVICE_ROLE, Caller
from agent_worker.domain.errors import ConfigurationError, GatewayError
from agent_worker.domain.json import JsonObject
from agent_worker.security.jwks import PublicKeys
from agent_worker.security.keys import check_jwt_secret

ROLES = frozenset({ANON, AUTHENTICATED, SERVICE_ROLE})
LONGEST_TOKEN = 16_384
"""Characters; a token travels in a header, and servers take about this much."""

CLOCK_SKEW_S = 30.0
"""How far the signer's clock may differ, as PostgREST allows (docs: "JWT exp, iat, nbf … 30 seconds")."""

_PARTS = 3
_SHARED = "HS256"


class TokenVerifier:
    """Turns tokens into callers.

    Args:
        jwt_secret: Key of HS256 tokens; None: none are believed.
        public_keys: Keys of all other tokens; None: none are believed.
        audience: What the claim `aud` must name where a token has one; API keys of the older kind have none.
        clock_skew_s: How long past its end, or before its beginning, a token holds.
        now: The present, in seconds since 1970.

    Raises:
        ConfigurationError: There is neither a secret nor a set of keys, or the secret is too short.
    """

    def __init__(
        self,
        *,
        jwt_secret: SecretStr | None = None,
        public_keys: PublicKeys | None = None,
        audience: str = AUTHENTICATED,
        clock_skew_s: float = CLOCK_SKEW_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        if jwt_secret is None and public_keys is None:
            raise ConfigurationError(
                "nobody's tokens can be checked · set AGENT_WORKER_JWT_SECRET or AGENT_WORKER_JWKS_URL"
            )
        if jwt_secret is not None:
            check_jwt_secret(jwt_secret)
        self._secret = jwt_secret
        self._public_keys = public_keys
        self._audience = audience
        self._clock_skew_s = clock_skew_s
        self._now = now

    async def verify(self, token: str) -> Caller:
        """Return whom a token stands for.

        Raises:
            GatewayError: 401 with PGRST301, PGRST303 or 22023; 503 when the keys cannot be fetched just now.
        """
        claims = await self._signed_claims(token)
        expires_at = self._check_times(claims)
        self._check_audience(claims)
        return Caller(role=_role(claims), claims=claims, expires_at=expires_at)

    async def _signed_claims(self, token: str) -> JsonObject:
        head = _head(token)
        algorithm, key_id = head.get("alg"), head.get("kid")
        if algorithm == _SHARED and self._secret is not None:
            key: Any = self._secret.get_secret_value()
        elif self._public_keys is not None and isinstance(algorithm, str) and algorithm != _SHARED:
            key = await self._public_keys.find(algorithm, key_id if isinstance(key_id, str) else None)
        else:
            key = None
        if key is None:
            raise refused("No suitable key or wrong key type")
        try:
            # Times and audience are checked below, in PostgREST's words and with this verifier's clock.
            claims: JsonObject = jwt.decode(token, key, algorithms=[str(algorithm)], options=_SIGNATURE_ONLY)
        except (jwt.PyJWTError, ValueError, RecursionError, OverflowError) as exc:
            raise refused("JWT cryptographic operation failed") from exc
        return claims

    def _check_times(self, claims: Mapping[str, object]) -> float:
        now = self._now()
        expires_at = _moment(claims, "exp")
        if expires_at is None:
            raise refused_claims("JWT has no claim exp, and one without an end is not taken")
        if expires_at <= now - self._clock_skew_s:
            raise refused_claims("JWT expired")
        for claim, sentence in (("nbf", "JWT not yet valid"), ("iat", "JWT issued at future")):
            begins_at = _moment(claims, claim)
            if begins_at is not None and begins_at > now + self._clock_skew_s:
                raise refused_claims(sentence)
        return expires_at

    def _check_audience(self, claims: Mapping[str, object]) -> None:
        named = claims.get("aud")
        if named is None or named == self._audience:
            return
        if not isinstance(named, list) or self._audience not in named:
            raise refused_claims("JWT not in audience")


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Signs access tokens with the claims that Supabase's have.

    Args:
        jwt_secret: The same as the verifier's.
        issuer: Claim `iss`.
        lifetime_s: Seconds until a token ends; supabase-js asks for the next one 90 s before.
    """

    jwt_secret: SecretStr
    issuer: str = "agent-worker"
    lifetime_s: int = 3600
    now: Callable[[], float] = field(default=time.time, repr=False)

    def issue(self, user_id: UUID, *, claims: Mapping[str, object] | None = None) -> tuple[str, int]:
        """Return a token for a signed-in user and the second since 1970 at which it ends.

        Args:
            user_id: Claim `sub`, which `auth.uid()` answers.
            claims: More claims; the ones made here win.
        """
        issued_at = int(self.now())
        expires_at = issued_at + self.lifetime_s
        whole = {
            **(claims or {}),
            "iss": self.issuer,
            "sub": str(user_id),
            "aud": AUTHENTICATED,
            "role": AUTHENTICATED,
            "iat": issued_at,
            "exp": expires_at,
            # Two tokens of one second differ, as their holders expect of a refresh.
            "jti": str(uuid4()),
        }
        return jwt.encode(whole, self.jwt_secret.get_secret_value(), algorithm=_SHARED), expires_at


def refused(sentence: str) -> GatewayError:
    """Return PostgREST's answer to a token that cannot be believed (error PGRST301)."""
    return _unauthorized(sentence, code="PGRST301")


def refused_claims(sentence: str) -> GatewayError:
    """Return PostgREST's answer to claims that do not hold (error PGRST303)."""
    return _unauthorized(sentence, code="PGRST303")


_SIGNATURE_ONLY: Any = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_sub": False,
    "verify_jti": False,
    "enforce_minimum_key_length": True,
}


def _unauthorized(sentence: str, *, code: str) -> GatewayError:
    # RFC 6750 §3.
    challenge = f'Bearer error="invalid_token", error_description="{sentence}"'
    return GatewayError(sentence, status=401, code=code, headers={"WWW-Authenticate": challenge})


def _head(token: str) -> dict[str, Any]:
    """Return what a token says of its signature, which proves nothing yet."""
    if not token:
        raise refused("Empty JWT is sent in Authorization header")
    if (parts := token.count(".") + 1) != _PARTS:
        raise refused(f"Expected 3 parts in JWT; got {parts}")
    if len(token) > LONGEST_TOKEN:
        raise refused(f"JWT is longer than {LONGEST_TOKEN} characters")
    try:
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError) as exc:
        raise refused("JWT cannot be decoded") from exc


def _moment(claims: Mapping[str, object], claim: str) -> float | None:
    """Return a NumericDate (RFC 7519 §2), or None where the claim is absent."""
    value = claims.get(claim)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:  # noqa: PLR2004
        raise refused_claims(f"JWT claim {claim} is no time")
    return float(value)


def _role(claims: Mapping[str, object]) -> str:
    role = claims.get("role")
    if not isinstance(role, str):
        raise refused_claims("JWT has no claim role")
    if role not in ROLES:
        # The words and the code in which PostgreSQL, and so PostgREST, answers a role that it does not have.
        shown = role[:63].encode("ascii", "backslashreplace").decode().replace('"', "'")
        raise GatewayError(f'role "{shown}" does not exist', status=401, code="22023")
    return role
