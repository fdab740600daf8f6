"""Who may do what here: run agents, whoever is signed in; keep definitions, the secret key and operators."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import HTTPConnection

from agent_worker.domain.caller import ANON, SERVICE_ROLE, Caller
from agent_worker.domain.errors import GatewayError
from agent_worker.gateway.requests import bearer_or_caller_of


async def signed_in(request: HTTPConnection) -> Caller:
    """Return the caller.

    Raises:
        GatewayError: 401, a visitor asks.
    """
    caller = await bearer_or_caller_of(request)
    if caller.role == ANON:
        raise GatewayError(
            "This takes a user's token or the secret key.",
            status=401,
            code="no_authorization",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return caller


async def operator(request: HTTPConnection) -> Caller:
    """Return the caller, who may see and change definitions.

    Raises:
        GatewayError: 401, a visitor asks; 403, a user who is no operator.
    """
    caller = await signed_in(request)
    if caller.role != SERVICE_ROLE and not _is_operator(caller):
        raise GatewayError("This takes the secret key, or an operator.", status=403, code="not_operator")
    return caller


def _is_operator(caller: Caller) -> bool:
    """Read the claim as `agent_worker.is_operator()` in the migrations does."""
    metadata = caller.claims.get("app_metadata")
    return isinstance(metadata, Mapping) and metadata.get("agent_worker") == "operator"
