"""Whom the gateway believes: keys, tokens and, where it serves auth/v1, users of its own."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.json import JsonObject
from agent_worker.settings import Settings

if TYPE_CHECKING:
    from pydantic import SecretStr

    from agent_worker.db.connection import Database
    from agent_worker.db.users import Users
    from agent_worker.gateway.auth.accounts import Accounts
    from agent_worker.gateway.routes.dashboard import SignIn
    from agent_worker.security.keys import ApiKeys, Keyring
    from agent_worker.security.tokens import TokenVerifier

KEYRING = "keys.json"
"""In the data directory: what was made because no setting names it."""

OPERATOR_EMAIL = "operator@localhost"
OPERATOR: JsonObject = {"agent_worker": "operator"}
"""What app_metadata says of a user who may see and steer everything; see is_operator() in the migrations."""


def made_keyring(settings: Settings) -> Keyring | None:
    """Return what was made for this data directory; None when everything is set."""
    needs_secret = settings.jwt_secret is None and settings.jwks_url is None
    if settings.publishable_key and settings.secret_key and not needs_secret:
        return None
    from agent_worker.embedded.places import open_place
    from agent_worker.security.keys import open_keyring

    return open_keyring(open_place(settings.data_dir).data_dir / KEYRING)


def api_keys(settings: Settings, keyring: Keyring | None) -> ApiKeys:
    """Return the keys of clients: those that are set, before those that were made.

    Raises:
        ConfigurationError: One is neither.
    """
    from agent_worker.security.keys import ApiKeys

    publishable, secret = settings.publishable_key, settings.secret_key
    if keyring is not None:
        publishable, secret = publishable or keyring.keys.publishable, secret or keyring.keys.secret
    if publishable is None or secret is None:
        raise ConfigurationError("AGENT_WORKER_PUBLISHABLE_KEY and AGENT_WORKER_SECRET_KEY are not set")
    return ApiKeys(publishable, secret)


@contextlib.asynccontextmanager
async def verifier(settings: Settings, keyring: Keyring | None) -> AsyncIterator[TokenVerifier]:
    """Check tokens with the secret, or with the public keys behind the JWKS URL."""
    import httpx

    from agent_worker.security.jwks import PublicKeys
    from agent_worker.security.tokens import TokenVerifier

    async with contextlib.AsyncExitStack() as stack:
        public_keys = None
        if settings.jwks_url is not None:
            client = await stack.enter_async_context(httpx.AsyncClient())
            public_keys = PublicKeys(settings.jwks_url, client=client)
        yield TokenVerifier(
            jwt_secret=signing_secret(settings, keyring),
            public_keys=public_keys,
            audience=settings.jwt_audience,
        )


def signing_secret(settings: Settings, keyring: Keyring | None) -> SecretStr | None:
    """Return the secret of HS256 tokens. One of our own making is not believed beside somebody else's keys."""
    if settings.jwt_secret is not None or settings.jwks_url is not None or keyring is None:
        return settings.jwt_secret
    return keyring.jwt_secret


async def open_accounts(settings: Settings, keyring: Keyring | None, db: Database) -> tuple[Accounts, Users]:
    """Return what auth/v1 serves.

    Raises:
        ConfigurationError: Somebody else signs the tokens, or keeps the users.
    """
    from agent_worker.db.sessions import Sessions
    from agent_worker.db.users import Users
    from agent_worker.gateway.auth.accounts import Accounts
    from agent_worker.security.tokens import TokenIssuer

    secret = signing_secret(settings, keyring)
    if secret is None:
        raise ConfigurationError(
            "auth/v1 cannot sign tokens · AGENT_WORKER_JWKS_URL names somebody else's keys · "
            "set AGENT_WORKER_JWT_SECRET as well, or unset AGENT_WORKER_GATEWAY_AUTH"
        )
    users = Users(db)
    if not await users.is_ours():
        raise ConfigurationError(
            f"the schema auth at {db.target} is not ours, users of a hosted project sign in there · "
            "unset AGENT_WORKER_GATEWAY_AUTH"
        )
    return Accounts(users, Sessions(db), TokenIssuer(secret)), users


async def operator_sign_in(accounts: Accounts, users: Users) -> SignIn:
    """Return how the dashboard signs in here: as a user like any other, with a password that each start makes anew."""
    from pydantic import SecretStr

    from agent_worker.gateway.auth.accounts import BY_EMAIL
    from agent_worker.gateway.routes.dashboard import SignIn

    password = secrets.token_urlsafe(24)
    password_hash = await accounts.new_hash(password)
    found = await users.by_email(OPERATOR_EMAIL)
    if found is None:
        await users.add(
            email=OPERATOR_EMAIL,
            password_hash=password_hash,
            user_metadata={},
            app_metadata={**BY_EMAIL, **OPERATOR},
        )
    else:
        await users.change(found.id, password_hash=password_hash, app_metadata=OPERATOR)
    return SignIn(OPERATOR_EMAIL, SecretStr(password))
