"""What every route asks of a request."""

from __future__ import annotations

from fastapi import Request

from agent_worker.domain.caller import Caller


async def caller_of(request: Request) -> Caller:
    """Return who asks, by the headers `apikey` and `Authorization`, or the parameter `apikey`.

    Raises:
        GatewayError: Nobody we know (401).
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    caller: Caller = await request.app.state.door.admit(
        apikey=request.headers.get("apikey") or request.query_params.get("apikey"),
        bearer=token.strip() if scheme.lower() == "bearer" else None,
        user_agent=request.headers.get("user-agent", ""),
    )
    return caller
