"""The composition root of the gateway: settings into a server with all its parts. Nothing below reads a setting."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from agent_worker.app import stop_signals
from agent_worker.app_identity import (
    KEYRING,
    api_keys,
    made_keyring,
    open_accounts,
    operator_sign_in,
    signing_secret,
    verifier,
)
from agent_worker.domain.errors import ConfigurationError
from agent_worker.settings import Settings, env_names

if TYPE_CHECKING:
    from fastapi import APIRouter
    from pydantic import SecretStr

    from agent_worker.db.connection import Database
    from agent_worker.db.following import Followers
    from agent_worker.db.looking import Looking
    from agent_worker.gateway.agents.streams import Streams
    from agent_worker.gateway.realtime.changes import Changes
    from agent_worker.gateway.realtime.hub import Hub
    from agent_worker.gateway.routes.dashboard import SignIn
    from agent_worker.gateway.server import GatewayOptions, GatewayServer
    from agent_worker.security.keys import ApiKeys
    from agent_worker.telemetry import Metrics

Part = TypeVar("Part", bound="_Part")

LIBRARIES = ("fastapi", "uvicorn", "httptools", "jwt")
"""What the extra `gateway` brings, as modules are called."""

OWN_CONNECTIONS = 2
"""With the rights of the tables' owner, for users, sessions, health and what runs say, beside
AGENT_WORKER_GATEWAY_CONNECTIONS for requests."""

LONGEST_STATEMENT_S = 70.0
"""PostgreSQL ends the statements of requests after 60 s at most, and says so; this is for when it does not."""


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
    from agent_worker.db.access.access import Access
    from agent_worker.db.connection import Database
    from agent_worker.db.following import Followers
    from agent_worker.db.looking import Looking
    from agent_worker.db.topics import Topics
    from agent_worker.gateway.auth import routes as auth_routes
    from agent_worker.gateway.realtime import routes as realtime_routes
    from agent_worker.gateway.realtime.changes import Changes
    from agent_worker.gateway.realtime.hub import Hub
    from agent_worker.gateway.requests import caller_of
    from agent_worker.gateway.rest import routes as rest_routes
    from agent_worker.gateway.server import GatewayServer, create_app
    from agent_worker.security.door import Door

    require_closed(settings)
    keyring = made_keyring(settings)
    keys = api_keys(settings, keyring)
    async with contextlib.AsyncExitStack() as stack:
        db = await stack.enter_async_context(Database(database_url, max_size=OWN_CONNECTIONS))
        tokens = await stack.enter_async_context(verifier(settings, keyring))
        strangers = await stack.enter_async_context(_of_strangers(settings, database_url))
        access = await _started(Access(strangers), stack)
        changes = await _started(Changes(database_url), stack)
        looking, followers = Looking(db), await _started(Followers(db), stack)
        stack.push_async_callback(looking.stop)
        door = Door(keys, tokens)
        hub = Hub(changes=changes, topics=Topics(db), admit_token=door.admit_token)
        agents, streams = _agents(db, strangers, looking, followers)
        routers: dict[str, APIRouter] = {
            "rest/v1": rest_routes.router(access),
            "realtime/v1": realtime_routes.router(hub, caller_of=caller_of),
            "api": agents,
        }
        sign_in = None
        if auth or settings.gateway_auth:
            accounts, users = await open_accounts(settings, keyring, db)
            routers["auth/v1"] = auth_routes.router(accounts, users)
            sign_in = await operator_sign_in(accounts, users) if has_operator else None
        app = create_app(
            _options(settings, keys, sign_in),
            door=door,
            metrics=_metrics(hub, streams),
            readiness=(lambda: _answers(db), lambda: _follows(changes)),
            routers=tuple(routers.values()),
        )
        server = GatewayServer(
            app,
            host=settings.gateway_host,
            port=settings.gateway_port,
            trusted_proxies=settings.trusted_proxies,
        )
        _spare_the_garbage_collector()
        await _started(server, stack)
        stack.callback(streams.stop)
        path = settings.data_dir / KEYRING if keyring is not None else None
        yield RunningGateway(server, keys, tuple(routers), path, signing_secret(settings, keyring))


class _Part(Protocol):
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


async def _started(part: Part, stack: contextlib.AsyncExitStack) -> Part:
    await part.start()
    stack.push_async_callback(part.stop)
    return part


def _of_strangers(settings: Settings, database_url: str) -> Database:
    """Return what strangers' statements run through, in sessions that have given up their rights."""
    from agent_worker.db.access.acting import give_up_rights
    from agent_worker.db.connection import Database

    return Database(
        database_url,
        max_size=settings.gateway_connections,
        statement_timeout_s=LONGEST_STATEMENT_S,
        configure=give_up_rights,
    )


def _agents(
    db: Database, strangers: Database, looking: Looking, followers: Followers
) -> tuple[APIRouter, Streams]:
    """Open stored agents to strangers."""
    from agent_worker.db.access.statements import Statements
    from agent_worker.db.continuing import Continuing
    from agent_worker.db.definitions import Definitions
    from agent_worker.db.runs import Runs
    from agent_worker.gateway.agents import routes
    from agent_worker.gateway.agents.catalogue import Catalogue
    from agent_worker.gateway.agents.running import Running
    from agent_worker.gateway.agents.streams import Streams
    from agent_worker.pipelines.names import PIPELINE

    runs = Runs(Statements(strangers))
    catalogue = Catalogue(Definitions(db, PIPELINE))
    streams = Streams(runs, looking, followers)
    return routes.router(catalogue, Running(runs, Continuing(strangers), catalogue), streams), streams


def _spare_the_garbage_collector() -> None:
    """Look through all objects seldom: with 1,000 sockets that stops the gateway for a quarter of a second.

    At Python's thresholds it happened every fifteenth time that all of them were told something. Now it takes a million more
    objects, and there is little to find: a socket that has gone is freed by itself, but for asyncio's transport.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 5, 5)


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


async def _follows(changes: Changes) -> str | None:
    """Tell why changes do not come; None when they do."""
    return None if changes.state.is_ready else f"no changes come: {changes.state.detail}"


async def _answers(db: Database) -> str | None:
    """Ask the database for the time; raises DatabaseUnavailable."""
    from agent_worker.db.queries import sql

    await db.fetch_value(sql("database_time"))
    return None
