"""`auth/v1/admin`: users in the hands of the secret key."""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BeforeValidator

from agent_worker.db.users import User, Users
from agent_worker.domain.caller import SERVICE_ROLE, Caller
from agent_worker.domain.errors import GatewayError
from agent_worker.gateway.auth.accounts import BY_EMAIL, Accounts
from agent_worker.gateway.auth.bodies import AdminUser
from agent_worker.gateway.auth.replies import user_document
from agent_worker.gateway.requests import caller_of

LARGEST_PAGE = 1000

# supabase-js sends `page=&per_page=` when it is asked for no page in particular.
PageNumber: TypeAlias = Annotated[int, BeforeValidator(lambda text: text or 1), Query(ge=1, le=1_000_000)]
PageSize: TypeAlias = Annotated[int, BeforeValidator(lambda text: text or 50), Query(ge=1, le=LARGEST_PAGE)]


async def service_role(caller: Annotated[Caller, Depends(caller_of)]) -> None:
    """Let nobody in but the secret key.

    Raises:
        GatewayError: 403 not_admin.
    """
    if caller.role != SERVICE_ROLE:
        raise GatewayError("User not allowed", status=403, code="not_admin")


def router(accounts: Accounts, users: Users) -> APIRouter:
    """Return the routes below `/admin`."""
    made = APIRouter(prefix="/admin/users", dependencies=[Depends(service_role)])
    _many(made, accounts, users)
    _one(made, accounts, users)
    return made


def _many(made: APIRouter, accounts: Accounts, users: Users) -> None:
    @made.post("", summary="Add a user")
    async def add(body: AdminUser) -> dict[str, Any]:
        """Add a user who can sign in at once; its app_metadata is what policies may trust."""
        if body.email is None:
            raise GatewayError(
                "Cannot create a user without either an email or phone", status=400, code="validation_failed"
            )
        user = await users.add(
            email=body.email,
            password_hash=None if body.password is None else await accounts.new_hash(body.password),
            user_metadata=body.user_metadata or {},
            app_metadata={**BY_EMAIL, **(body.app_metadata or {})},
        )
        if user is None:
            raise GatewayError(
                "A user with this email address has already been registered", status=422, code="email_exists"
            )
        if body.ban_s is not None:
            user = await accounts.written(user.id, ban_s=body.ban_s)
        return user_document(user)

    @made.get("", summary="List users")
    async def page(
        response: Response,
        page: PageNumber = 1,
        per_page: PageSize = 50,
    ) -> dict[str, Any]:
        """Return one page, newest first; headers `Link` and `X-Total-Count` say how many there are."""
        found = await users.page(number=page, size=per_page)
        last = max(math.ceil(found.total / per_page), page)
        links = [f'</auth/v1/admin/users?page={last}&per_page={per_page}>; rel="last"']
        if page < last:
            links.insert(0, f'</auth/v1/admin/users?page={page + 1}&per_page={per_page}>; rel="next"')
        response.headers["Link"] = ", ".join(links)
        response.headers["X-Total-Count"] = str(found.total)
        return {"users": [user_document(user) for user in found.users], "aud": "authenticated"}


def _one(made: APIRouter, accounts: Accounts, users: Users) -> None:
    @made.get("/{user_id}", summary="Show a user")
    async def get(user_id: UUID) -> dict[str, Any]:
        """Return one user."""
        return user_document(_found(await users.get(user_id)))

    @made.put("/{user_id}", summary="Change a user")
    async def change(user_id: UUID, body: AdminUser) -> dict[str, Any]:
        """Change what is given; metadata is merged key by key."""
        changed = await accounts.written(
            user_id,
            email=body.email,
            password_hash=None if body.password is None else await accounts.new_hash(body.password),
            user_metadata=body.user_metadata or {},
            app_metadata=body.app_metadata or {},
            ban_s=body.ban_s,
        )
        return user_document(changed)

    @made.delete("/{user_id}", summary="Delete a user")
    async def remove(user_id: UUID) -> dict[str, Any]:
        """Delete a user with its sessions; what else points to it, foreign keys decide."""
        if not await users.remove(user_id):
            _found(None)
        return {}


def _found(user: User | None) -> User:
    if user is None:
        raise GatewayError("User not found", status=404, code="user_not_found")
    return user
