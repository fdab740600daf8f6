"""The routes of `auth/v1` that supabase-js and supabase-py call."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from starlette.status import HTTP_204_NO_CONTENT

from agent_worker import __version__
from agent_worker.db.users import Users
from agent_worker.domain.caller import Caller
from agent_worker.domain.errors import GatewayError
from agent_worker.gateway.auth import admin
from agent_worker.gateway.auth.accounts import Accounts
from agent_worker.gateway.auth.bodies import Grant, Problem, SignUp, UserChange
from agent_worker.gateway.auth.replies import user_document
from agent_worker.gateway.requests import address_of, caller_of

SETTINGS = {
    "external": {"anonymous_users": True, "email": True, "phone": False},
    "disable_signup": False,
    "mailer_autoconfirm": True,
    "phone_autoconfirm": False,
    "sms_provider": "",
    "saml_enabled": False,
    "mfa_enabled": False,
}
MISSING = ("otp", "magiclink", "recover", "verify", "resend", "invite", "sso", "authorize", "factors")
"""Routes of GoTrue that need mail, telephones or other providers."""

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": about}
    for status, about in (
        (400, "A wrong field, password or refresh token."),
        (401, "No key, a wrong one, or no session."),
        (403, "A token that is refused, a session that has ended, or not the secret key."),
        (404, "No such user."),
        (413, "More than 64 KiB."),
        (422, "Refused by a rule."),
        (429, "Too often."),
    )
}

Asking = Annotated[Caller, Depends(caller_of)]


def router(accounts: Accounts, users: Users) -> APIRouter:
    """Return the routes below `/auth/v1`.

    Args:
        accounts: The rules.
        users: The table, for what the secret key may do.
    """
    made = APIRouter(prefix="/auth/v1", tags=["auth"], responses=PROBLEMS)
    _sessions(made, accounts)
    _user(made, accounts)
    _facts(made)
    made.include_router(admin.router(accounts, users))
    return made


def _sessions(made: APIRouter, accounts: Accounts) -> None:
    @made.post("/signup", summary="Sign up")
    async def sign_up(body: SignUp, request: Request, _: Asking) -> dict[str, Any]:
        """Add a user and open its first session; without address and password an anonymous one."""
        return await accounts.sign_up(body, user_agent=request.headers.get("user-agent", ""))

    @made.post("/token", summary="Sign in, or go on with a session")
    async def token(body: Grant, request: Request, _: Asking, grant_type: str = "") -> dict[str, Any]:
        """`grant_type=password` takes address and password, `grant_type=refresh_token` a refresh token."""
        match grant_type:
            case "password":
                user_agent = request.headers.get("user-agent", "")
                return await accounts.sign_in(body, user_agent=user_agent, address=address_of(request))
            case "refresh_token":
                return await accounts.refresh(body)
            case _:
                raise GatewayError("unsupported_grant_type", status=400, code="invalid_grant")

    @made.post("/logout", status_code=HTTP_204_NO_CONTENT, summary="Sign out")
    async def logout(caller: Asking, scope: Literal["global", "local", "others"] = "global") -> Response:
        """End the session, the user's others, or all."""
        await accounts.sign_out(caller, scope)
        return Response(status_code=HTTP_204_NO_CONTENT)


def _user(made: APIRouter, accounts: Accounts) -> None:
    @made.get("/user", summary="Who is signed in")
    async def get_user(caller: Asking) -> dict[str, Any]:
        """Return the session's user."""
        return user_document(await accounts.user(caller))

    @made.put("/user", summary="Change the signed-in user")
    async def put_user(body: UserChange, caller: Asking) -> dict[str, Any]:
        """Change address, password or metadata."""
        return user_document(await accounts.change(caller, body))


def _facts(made: APIRouter) -> None:
    @made.get("/health", summary="Whether it is there")
    async def health() -> dict[str, str]:
        """Say the version."""
        return {"name": "agent-worker", "version": __version__, "description": "auth/v1 for development"}

    @made.get("/settings", summary="What can be done here")
    async def settings(_: Asking) -> dict[str, Any]:
        """Return the ways to sign in."""
        return SETTINGS

    @made.get("/.well-known/jwks.json", summary="Public keys")
    async def jwks() -> dict[str, list[Any]]:
        """Return no key: tokens are signed with a shared secret, and clients ask `GET /user` about them."""
        return {"keys": []}

    @made.api_route("/{name}", methods=["GET", "POST"], include_in_schema=False)
    async def missing(name: str, _: Asking) -> None:
        if name in MISSING:
            raise GatewayError(
                f"/{name} needs mail or another provider, which auth/v1 for development has not",
                status=422,
                code="validation_failed",
            )
        raise GatewayError("404 page not found", status=404, code="not_found")
