"""The composition root of the gateway: settings into a server with all its parts. Nothing below reads a setting."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent_worker.app import stop_signals
from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.json import JsonObject
from agent_worker.settings import Settings, env_names

if TYPE_CHECKING:
    from fastapi import APIRouter
    from pydantic import SecretStr

    from agent_worker.db.access.access import Access
    from agent_worker.db.connection import Database
    from agent_worker.db.users import Users
    from agent_worker.gateway.agents.streams import Streams
    from agent_worker.gateway.auth.accounts import Accounts
    from agent_worker.gateway.realtime.changes import Changes
    from agent_worker.gateway.realtime.hub import Hub
    from agent_worker.gateway.routes.dashboard import SignIn
    from agent_worker.gateway.server import GatewayOptions, GatewayServer
    from agent_worker.security.keys import ApiKeys, Keyring
    from agent_worker.security.tokens import TokenVerifier
    from agent_worker.telemetry import Metrics

KEYRING = "keys.json"
"""In the data directory: what was made because no setting names it."""

LIBRARIES = ("fastapi", "uvicorn", "httptools", "jwt")
"""What the extra `gateway` brings, as modules are called."""

OWN_CONNECTIONS = 2
"""For users, sessions and health, beside AGENT_WORKER_GATEWAY_CONNECTIONS for requests."""

LONGEST_STATEMENT_S = 70.0
"""PostgreSQL ends the statements of requests after 60 s at most, and says so; this is for when it does not."""

OPERATOR_EMAIL = "operator@localhost"
OPERATOR: JsonObject = {"agent_worker": "operator"}
"""What app_metadata says of a user who may see and steer everything; see is_operator() in the migrations."""


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A gateway that answers.

    Attributes:
        server: Knows its URL.
        keys: For clients.
        parts: What is on: rest/v1, realtime/v1, api, auth/v1.
        keyring: The file of keys that were made; None when all were set.
        jwt_secret: What HS256 tokens are signed with; None where others sign them.
    """

    server: GatewayServer
    keys: ApiKeys
    parts: tuple[str, ...]
    keyring: Path | None
    jwt_secret: SecretStr | None


@contextlib.asynccontextmanager
async def running_gateway(
    settings: Settings, database_url: str, *, auth: bool = False, has_operator: bool = False
) -> AsyncIterator[RunningGateway]:
    """Start the gateway with everything it needs, and take it all down after the block.

    Args:
        settings: In force for this process.
        database_url: A database whose schema fits.
        auth: Serve auth/v1 whatever AGENT_WORKER_GATEWAY_AUTH says.
        has_operator: Sign this machine's developer in to the dashboard, as an operator; takes auth/v1.

    Raises:
        ConfigurationError: A key or the JWT secret cannot be used, the port is taken, or the address is not this
            machine's alone and something is not set.
        DatabaseUnavailable: Nobody answers.
    """
    from agent_worker.db.topics import Topics
    from agent_worker.gateway.auth import routes as auth_routes
    from agent_worker.gateway.realtime import routes as realtime_routes
    from agent_worker.gateway.realtime.hub import Hub
    from agent_worker.gateway.requests import caller_of
    from agent_worker.gateway.rest import routes as rest_routes
    from agent_worker.gateway.server import GatewayServer, create_app
    from agent_worker.security.door import Door

    require_closed(settings)
    keyring = _keyring(settings)
    keys = _keys(settings, keyring)
    async with contextlib.AsyncExitStack() as stack:
        db = await stack.enter_async_context(_database(database_url))
        tokens = await stack.enter_async_context(_verifier(settings, keyring))
        strangers = await stack.enter_async_context(_strangers(settings, database_url))
        access = await stack.enter_async_context(_access(strangers))
        door = Door(keys, tokens)
        changes = await stack.enter_async_context(_changes(database_url))
        hub = Hub(changes=changes, topics=Topics(db), admit_token=door.admit_token)
        agents, streams = await stack.enter_async_context(_agents(db, strangers))
        routers: dict[str, APIRouter] = {
            "rest/v1": rest_routes.router(access),
            "realtime/v1": realtime_routes.router(hub, caller_of=caller_of),
            "api": agents,
        }
        sign_in = None
        if auth or settings.gateway_auth:
            accounts, users = await _accounts(settings, keyring, db)
            routers["auth/v1"] = auth_routes.router(accounts, users)
            sign_in = await _operator(accounts, users) if has_operator else None
        metrics = _metrics(hub, streams)
        app = create_app(
            _options(settings, keys, sign_in),
            door=door,
            metrics=metrics,
            readiness=(lambda: _answers(db), lambda: _follows(changes)),
            routers=tuple(routers.values()),
        )
        server = GatewayServer(
            app,
            host=settings.gateway_host,
            port=settings.gateway_port,
            trusted_proxies=settings.trusted_proxies,
        )
        await server.start()
        stack.push_async_callback(server.stop)
        stack.callback(streams.stop)
        path = settings.data_dir / KEYRING if keyring is not None else None
        yield RunningGateway(server, keys, tuple(routers), path, _signing_secret(settings, keyring))


def _metrics(hub: Hub, streams: Streams) -> Metrics:
    """Return what the gateway counts, sockets and streams included."""
    from agent_worker.telemetry import Metrics

    metrics = Metrics()
    metrics.observe("realtime_sockets", "Open Realtime sockets.", lambda: hub.pool.sockets)
    metrics.observe("realtime_channels", "Channels joined on them.", lambda: hub.channels)
    metrics.observe("realtime_unread_bytes", "What waits to be read by them.", lambda: hub.pool.waiting_bytes)
    metrics.observe("agent_streams", "Runs that clients read at this moment.", lambda: streams.open)
    return metrics


async def serve_gateway(
    settings: Settings, database_url: str, *, on_started: Callable[[RunningGateway], None]
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: In force for this process.
        database_url: A database whose schema fits.
        on_started: Called once it answers.
    """
    stop = asyncio.Event()
    with stop_signals(stop.set):
        async with running_gateway(settings, database_url) as gateway:
            on_started(gateway)
            await stop.wait()


def require_installed() -> None:
    """Make sure that the packages of the extra `gateway` are here.

    Raises:
        ConfigurationError: They are not; names the command that installs them.
    """
    if any(importlib.util.find_spec(name) is None for name in LIBRARIES):
        raise ConfigurationError(
            "the gateway is not installed · its packages come as an extra · "
            "run: pip install 'agent-worker[gateway]', or start a worker alone: agent-worker run"
        )


def port_or_free(settings: Settings) -> Settings:
    """Let the gateway take any free port where nobody chose one and the usual one is taken."""
    if "gateway_port" in settings.model_fields_set:
        return settings
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.gateway_host, settings.gateway_port))
        except OSError:
            return settings.model_copy(update={"gateway_port": 0})
    return settings


def require_closed(settings: Settings) -> None:
    """Make sure that a gateway others can reach has keys that its owner chose.

    Raises:
        ConfigurationError: It listens beyond this machine, and a key, or how tokens are checked, is not set.
    """
    from agent_worker.domain.loopback import is_loopback

    if is_loopback(settings.gateway_host):
        return
    needed = {
        "publishable_key": settings.publishable_key,
        "secret_key": settings.secret_key,
        "jwt_secret": settings.jwt_secret or settings.jwks_url,
    }
    missing = [env_names(Settings, name)[0] for name, value in needed.items() if not value]
    if missing:
        raise ConfigurationError(
            f"the gateway would be open to others at {settings.gateway_host} · {' and '.join(missing)} not set · "
            "set them, or listen on 127.0.0.1 (a JWKS URL does as well as a JWT secret)"
        )


def _keyring(settings: Settings) -> Keyring | None:
    """Return what was made for this data directory; None when everything is set."""
    needs_secret = settings.jwt_secret is None and settings.jwks_url is None
    if settings.publishable_key and settings.secret_key and not needs_secret:
        return None
    from agent_worker.embedded.places import open_place
    from agent_worker.security.keys import open_keyring

    return open_keyring(open_place(settings.data_dir).data_dir / KEYRING)


def _keys(settings: Settings, keyring: Keyring | None) -> ApiKeys:
    from agent_worker.security.keys import ApiKeys

    publishable, secret = settings.publishable_key, settings.secret_key
    if keyring is not None:
        publishable, secret = publishable or keyring.keys.publishable, secret or keyring.keys.secret
    if publishable is None or secret is None:
        raise ConfigurationError("AGENT_WORKER_PUBLISHABLE_KEY and AGENT_WORKER_SECRET_KEY are not set")
    return ApiKeys(publishable, secret)


@contextlib.asynccontextmanager
async def _verifier(settings: Settings, keyring: Keyring | None) -> AsyncIterator[TokenVerifier]:
    import httpx

    from agent_worker.security.jwks import PublicKeys
    from agent_worker.security.tokens import TokenVerifier

    async with contextlib.AsyncExitStack() as stack:
        public_keys = None
        if settings.jwks_url is not None:
            client = await stack.enter_async_context(httpx.AsyncClient())
            public_keys = PublicKeys(settings.jwks_url, client=client)
        yield TokenVerifier(
            jwt_secret=_signing_secret(settings, keyring),
            public_keys=public_keys,
            audience=settings.jwt_audience,
        )


def _signing_secret(settings: Settings, keyring: Keyring | None) -> SecretStr | None:
    """Return the secret of HS256 tokens. One of our own making is not believed beside somebody else's keys."""
    if settings.jwt_secret is not None or settings.jwks_url is not None or keyring is None:
        return settings.jwt_secret
    return keyring.jwt_secret


async def _accounts(settings: Settings, keyring: Keyring | None, db: Database) -> tuple[Accounts, Users]:
    from agent_worker.db.sessions import Sessions
    from agent_worker.db.users import Users
    from agent_worker.gateway.auth.accounts import Accounts
    from agent_worker.security.tokens import TokenIssuer

    secret = _signing_secret(settings, keyring)
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


async def _operator(accounts: Accounts, users: Users) -> SignIn:
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


def has_dashboard() -> bool:
    """Whether the dashboard is built: always in a wheel, in a checkout by `make dashboard`."""
    from agent_worker.gateway.routes.dashboard import built_files

    return built_files() is not None


def _options(settings: Settings, keys: ApiKeys, sign_in: SignIn | None) -> GatewayOptions:
    from agent_worker.domain.loopback import is_loopback
    from agent_worker.gateway.edge import Origins
    from agent_worker.gateway.routes.dashboard import DashboardConfig, built_files
    from agent_worker.gateway.server import GatewayOptions

    is_local = is_loopback(settings.gateway_host)
    return GatewayOptions(
        origins=Origins(pages=settings.cors_origins, hosts=settings.allowed_hosts, is_local=is_local),
        per_address_s=settings.rate_per_address,
        per_caller_s=settings.rate_per_caller,
        dashboard=DashboardConfig(keys.publishable, sign_in if is_local else None, built_files()),
    )


@contextlib.asynccontextmanager
async def _database(database_url: str) -> AsyncIterator[Database]:
    """Open what users and sessions are kept in, with the rights of the tables' owner."""
    from agent_worker.db.connection import Database

    async with Database(database_url, max_size=OWN_CONNECTIONS) as db:
        yield db


@contextlib.asynccontextmanager
async def _strangers(settings: Settings, database_url: str) -> AsyncIterator[Database]:
    """Open what strangers' statements run through, in sessions that have given up their rights."""
    from agent_worker.db.access.acting import give_up_rights
    from agent_worker.db.connection import Database

    async with Database(
        database_url,
        max_size=settings.gateway_connections,
        statement_timeout_s=LONGEST_STATEMENT_S,
        configure=give_up_rights,
    ) as db:
        yield db


@contextlib.asynccontextmanager
async def _access(strangers: Database) -> AsyncIterator[Access]:
    """Open tables and functions to them."""
    from agent_worker.db.access.access import Access

    access = Access(strangers)
    await access.start()
    try:
        yield access
    finally:
        await access.stop()


@contextlib.asynccontextmanager
async def _agents(db: Database, strangers: Database) -> AsyncIterator[tuple[APIRouter, Streams]]:
    """Open stored agents to them, and follow what their runs say."""
    from agent_worker.db.access.statements import Statements
    from agent_worker.db.continuing import Continuing
    from agent_worker.db.definitions import Definitions
    from agent_worker.db.following import Followers
    from agent_worker.db.runs import Runs
    from agent_worker.gateway.agents import routes
    from agent_worker.gateway.agents.catalogue import Catalogue
    from agent_worker.gateway.agents.running import Running
    from agent_worker.gateway.agents.streams import Streams

    runs = Runs(Statements(strangers))
    catalogue = Catalogue(Definitions(db, routes.KIND))
    followers = Followers(db)
    streams = Streams(runs, followers)
    await followers.start()
    try:
        yield routes.router(catalogue, Running(runs, Continuing(strangers), catalogue), streams), streams
    finally:
        await followers.stop()


@contextlib.asynccontextmanager
async def _changes(database_url: str) -> AsyncIterator[Changes]:
    """Follow what is committed."""
    from agent_worker.gateway.realtime.changes import Changes

    changes = Changes(database_url)
    await changes.start()
    try:
        yield changes
    finally:
        await changes.stop()


async def _follows(changes: Changes) -> str | None:
    """Tell why changes do not come; None when they do."""
    return None if changes.state.is_ready else f"no changes come: {changes.state.detail}"


async def _answers(db: Database) -> str | None:
    """Ask the database for the time; raises DatabaseUnavailable."""
    from agent_worker.db.queries import sql

    await db.fetch_value(sql("database_time"))
    return None
