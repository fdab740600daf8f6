"""Why somebody is not let in, in upstream's words: clients show them, and some look for them."""

from __future__ import annotations

from agent_worker.domain.caller import Caller
from agent_worker.domain.errors import GatewayError

UNREACHABLE = "Realtime was unable to connect to the project database"

_JWT_PARTS = 3


def token_problem(error: GatewayError, token: str) -> tuple[str, str]:
    """Return the code and the sentence for a token that was refused."""
    if error.status != 401:  # noqa: PLR2004 - the keys of its signer cannot be fetched now
        return "JwtSignerError", "Failed to fetch the keys that tokens are signed with"
    if token.count(".") != _JWT_PARTS - 1:
        return "MalformedJWT", "The token provided is not a valid JWT"
    match error.code, str(error):
        case "PGRST303", "JWT expired":
            return "InvalidJWTToken", "Token has expired"
        case "PGRST303", sentence:
            return "InvalidJWTToken", sentence
        case "PGRST301", _:
            return "JwtSignatureError", "Failed to validate JWT signature"
        case _, sentence:
            return "Unauthorized", sentence


def expired(caller: Caller, now: float) -> str | None:
    """Return what to say of a caller whose token has ended; None while it holds."""
    if caller.expires_at is None or caller.expires_at > now:
        return None
    return f"Token has expired {int(now - caller.expires_at)} seconds ago"
