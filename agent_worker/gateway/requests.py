"""From a request to its caller: where the key and the token stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from agent_worker.domain.caller import Caller
from agent_worker.security.door import Door
from agent_worker.security.limits import Buckets

_CALLER = "agent_worker.caller"


@dataclass(frozen=True, slots=True)
class Reception:
    """What every request passes; `create_app` puts it into the app's state.

    Attributes:
        door: Decides who comes in.
        callers: One bucket for each user, and for each key at each address.
    """

    door: Door
    callers: Buckets


async def caller_of(request: HTTPConnection) -> Caller:
    """Return whom a request stands for; the second question about a request costs nothing.

    Raises:
        GatewayError: 401, see `Door.admit`; 429, it asks too often.
    """
    return await _caller_of(request, may_lack_key=False)


async def bearer_or_caller_of(request: HTTPConnection) -> Caller:
    """Return the same where `Authorization: Bearer` may stand alone, and hold a key or a user's token.

    Raises:
        GatewayError: As `caller_of`.
    """
    return await _caller_of(request, may_lack_key=True)


async def _caller_of(request: HTTPConnection, *, may_lack_key: bool) -> Caller:
    known = request.scope.get(_CALLER)
    if isinstance(known, Caller):
        return known
    reception = cast("Reception", request.app.state.reception)
    apikey, bearer = api_key_of(request), bearer_of(request.headers)
    user_agent = request.headers.get("user-agent", "")
    if may_lack_key and bearer and not apikey:
        caller = await reception.door.admit_bearer(bearer, user_agent=user_agent)
    else:
        caller = await reception.door.admit(apikey=apikey, bearer=bearer, user_agent=user_agent)
    reception.callers.require(_name(caller, request))
    request.scope[_CALLER] = caller
    return caller


def api_key_of(request: HTTPConnection) -> str | None:
    """Return the API key: the header wins over the query, which is for sockets and links."""
    return request.headers.get("apikey") or request.query_params.get("apikey")


def bearer_of(headers: Headers) -> str | None:
    """Return what `Authorization: Bearer` holds, which may be empty; None without it or with another scheme.

    The scheme is read without regard to case (RFC 9110 §11.1).
    """
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def address_of(request: HTTPConnection) -> str:
    """Return where a request comes from; all of a local socket's are one."""
    return request.client.host if request.client else "local"


def _name(caller: Caller, request: HTTPConnection) -> str:
    user_id = caller.user_id
    return f"user {user_id}" if user_id else f"{caller.role} {address_of(request)}"
