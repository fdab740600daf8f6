"""The composition root: turns settings into running parts. Nothing below reads a setting."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from agent_worker import __version__
from agent_worker.domain.backoff import Backoff
from agent_worker.domain.errors import ConfigurationError, DatabaseUnavailable, ProcessorError
from agent_worker.settings import Settings, env_names

if TYPE_CHECKING:
    from agent_worker.db.link import Link
    from agent_worker.db.project import Project
    from agent_worker.domain.processor import Processor
    from agent_worker.embedded import EmbeddedPostgres
    from agent_worker.llm.models import Models
    from agent_worker.telemetry import LogFormat
    from agent_worker.worker.pool.pool import ProcessPool
    from agent_worker.worker.worker import Worker, WorkerOptions

DATABASE_SECRETS = frozenset(
    {
        *env_names(Settings, "database_url"),
        *env_names(Settings, "supabase_service_key"),
        *env_names(Settings, "secret_key"),
        *env_names(Settings, "jwt_secret"),
        "SUPABASE_DB_URL",
    }
)
"""Variables that open the database, or the gateway before it; libpq's own begin with PG."""


@contextlib.contextmanager
def database(settings: Settings) -> Iterator[str]:
    """Yield the URL of the database to use; without DATABASE_URL the embedded server, for as long as the block lasts.

    An embedded server that this process started ends with the block; one that another command started is left alone.

    Raises:
        ConfigurationError: Only SUPABASE_URL is set; or no PostgreSQL is installed, or its data cannot be used.
        DatabaseUnavailable: It does not start.
    """
    require_connection(settings)
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    with embedded(settings.data_dir) as server:
        yield server.url


def require_connection(settings: Settings) -> None:
    """Make sure that there is a PostgreSQL to connect to, or that an embedded one is wanted.

    Raises:
        ConfigurationError: Only SUPABASE_URL and its key are set, which are enough for `run` and nothing else.
    """
    if settings.is_over_http:
        raise ConfigurationError(
            "this command needs a PostgreSQL connection, and only SUPABASE_URL is set, which is enough for "
            "`agent-worker run` · set DATABASE_URL: in the dashboard under Connect, Session pooler"
        )


def project(settings: Settings) -> Project:
    """Return the Supabase project that workers reach over HTTP.

    Raises:
        ConfigurationError: Its address or key cannot be right.
    """
    from agent_worker.db.project import Project

    if settings.supabase_url is None or settings.supabase_service_key is None:
        raise ConfigurationError(
            "SUPABASE_URL and SUPABASE_SERVICE_KEY are not set · set both, or DATABASE_URL"
        )
    return Project(settings.supabase_url, settings.supabase_service_key)


def require_database(settings: Settings) -> None:
    """Make sure that there is something to look at: a named database, or an embedded one made before.

    Raises:
        ConfigurationError: Only SUPABASE_URL is set.
        DatabaseUnavailable: There is none; names the commands that make one.
    """
    require_connection(settings)
    if settings.database_url is None and not (settings.data_dir / "postgres").exists():
        raise DatabaseUnavailable(
            f"there is no database yet · DATABASE_URL is not set, and {settings.data_dir} holds none · "
            "run: agent-worker dev, or set DATABASE_URL"
        )


def embedded(data_dir: Path) -> EmbeddedPostgres:
    """Start or join the embedded PostgreSQL of a data folder; a context manager that stops what it started."""
    from agent_worker.embedded import EmbeddedPostgres

    return EmbeddedPostgres.start_or_join(data_dir)


async def ready_database(database_url: str, *, is_ours: bool) -> None:
    """Make sure the schema fits this release; an embedded database is migrated without asking.

    Raises:
        SchemaOutOfDate: The schema of a database that is not ours is older or newer.
        DatabaseUnavailable: Nobody answers.
    """
    from agent_worker.db.connection import Database
    from agent_worker.db.migrate import check_schema, migrate

    if is_ours:
        await migrate(database_url)
        return
    async with Database(database_url) as db:
        await check_schema(db)


async def ready_project(project: Project) -> None:
    """Make sure the schema of a project fits this release, by its HTTP API.

    Raises:
        ConfigurationError: The key is refused.
        SchemaOutOfDate: The schema is missing, older or newer.
        DatabaseUnavailable: Nobody answers.
    """
    from agent_worker.db.migrate import check_schema
    from agent_worker.db.rest import Rest

    async with Rest(project) as rest:
        await check_schema(rest)


@contextlib.asynccontextmanager
async def linked(place: str | Project) -> AsyncIterator[Link]:
    """Open the way to a database for as long as the block lasts: by its URL, or by a Supabase project's HTTP API.

    Raises:
        DatabaseUnavailable: Nobody answers at the URL; a project is first asked when the worker enters the fleet.
    """
    if isinstance(place, str):
        from agent_worker.db.connection import Database
        from agent_worker.db.link import PostgresLink

        async with Database(place) as db:
            yield PostgresLink(db)
        return
    # Imported here: the client library takes half a second, and most workers never need it.
    from agent_worker.db.rest import Rest
    from agent_worker.db.rest_link import RestLink

    async with Rest(place) as rest:
        yield RestLink(rest)


def chat_models(settings: Settings, *, on_pause: Callable[[str], None] = lambda _provider: None) -> Models:
    """Return the chat models that the settings allow; the caller closes them.

    Args:
        settings: In force for this process.
        on_pause: Called with the provider each time a model of it is overloaded and left alone for a while.

    Raises:
        ConfigurationError: AGENT_WORKER_MODEL names a model that is unknown, lacks its key, or is not installed.
    """
    from agent_worker.llm.models import Models

    models = Models(
        default=settings.model,
        openai_api_key=settings.openai_api_key,
        openai_base_url=settings.openai_base_url,
        data_dir=settings.data_dir,
        on_pause=on_pause,
    )
    if settings.model is not None:
        try:
            models.get()
        except ProcessorError as exc:
            raise ConfigurationError(
                f"AGENT_WORKER_MODEL is {settings.model}, which cannot be used · {exc} · "
                "name another model, or unset it to have one chosen"
            ) from exc
    return models


def worker_options(settings: Settings) -> WorkerOptions:
    """Return how a worker behaves under these settings."""
    from agent_worker.worker.worker import WorkerOptions

    return WorkerOptions(
        concurrency=settings.concurrency,
        poll_interval_s=settings.poll_interval_s,
        heartbeat_s=settings.heartbeat_s,
        lease_s=settings.lease_s,
        retention_s=settings.retention_days * 86_400,
        unknown_kind_grace_s=settings.unknown_kind_grace_s,
        shutdown_grace_s=settings.shutdown_grace_s,
        backoff=Backoff(base_s=settings.backoff_base_s, max_s=settings.backoff_max_s),
        stream=settings.stream,
    )


def process_pool(
    settings: Settings, builders: Mapping[str, Callable[[], Processor]], *, worker: str
) -> ProcessPool:
    """Return the processes for heavy processors; none is started yet.

    Args:
        settings: In force for this process.
        builders: By kind, make a processor inside a process.
        worker: Name of the worker, for the log lines of its processes.
    """
    from agent_worker.worker.pool.pool import ProcessPool

    return ProcessPool(
        size=settings.process_pool or _cores(),
        builders=builders,
        prepare=functools.partial(_prepare_process, settings.log_level, settings.log_format, worker),
        environment={
            name: value
            for name, value in os.environ.items()
            if name.upper() not in DATABASE_SECRETS and not name.startswith("PG")
        },
    )


def _prepare_process(log_level: str, log_format: LogFormat, worker: str) -> None:
    import structlog

    from agent_worker.telemetry import configure_logging

    configure_logging(level=log_level, log_format=log_format)
    structlog.contextvars.bind_contextvars(worker=worker)


def _cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_name(chosen: str | None) -> str:
    """Return a worker's name: the chosen one, or one made up."""
    return chosen or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


def _spare_the_garbage_collector() -> None:
    """Look for cycles seldom: a busy worker makes thousands of objects per batch, and hardly ever a cycle.

    At Python's thresholds the search took a fifth of a no-op task's processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@contextlib.asynccontextmanager
async def running_worker(
    settings: Settings, place: str | Project, *, scripts: Sequence[str] = ()
) -> AsyncIterator[Worker]:
    """Start a worker with everything it needs, and take it all down after the block; the block drains it.

    Args:
        settings: In force for this process.
        place: The URL of a database whose schema fits, or the project it is in.
        scripts: Processors in files, each `file.py:Class`.

    Raises:
        ConfigurationError: A processor cannot be loaded, the name or the metrics' port is taken, or the default model
            cannot be used.
        DatabaseUnavailable: Nobody answers.
    """
    import structlog

    from agent_worker.db.fleet import WorkerIdentity
    from agent_worker.registry import build_processors, payload_schemas, process_builders
    from agent_worker.telemetry import Metrics, TelemetryServer
    from agent_worker.worker.worker import Worker

    processors = build_processors(scripts, kinds=settings.kinds)
    identity = WorkerIdentity(
        id=uuid4(),
        name=worker_name(settings.name),
        host=socket.gethostname(),
        pid=os.getpid(),
        kinds=tuple(sorted(processors)),
        concurrency=settings.concurrency,
        version=__version__,
        lease_s=settings.lease_s,
        payload_schemas=payload_schemas(processors),
    )
    structlog.contextvars.bind_contextvars(worker=identity.name)
    processes = process_pool(settings, process_builders(processors), worker=identity.name)
    _spare_the_garbage_collector()
    metrics = Metrics()
    async with contextlib.AsyncExitStack() as stack:
        models = chat_models(settings, on_pause=metrics.provider_paused)
        metrics.observe(
            "breakers_open", "Overloaded models that are left alone.", lambda: float(models.open_breakers)
        )
        stack.push_async_callback(models.close)
        link = await stack.enter_async_context(linked(place))
        worker = Worker(
            link,
            identity=identity,
            processors=processors,
            processes=processes,
            models=models.get,
            images=models.images,
            metrics=metrics,
            options=worker_options(settings),
        )
        if settings.metrics_port is not None:
            telemetry = TelemetryServer(
                metrics,
                why_not_ready=worker.why_not_ready,
                host=settings.metrics_host,
                port=settings.metrics_port,
            )
            telemetry.start()
            stack.callback(telemetry.stop)
        await worker.start()
        yield worker


async def run_worker(
    settings: Settings,
    place: str | Project,
    *,
    scripts: Sequence[str] = (),
    on_started: Callable[[str], None] = lambda _name: None,
) -> None:
    """Run one worker until SIGTERM, SIGINT or an operator drains it; a signal after that stops it at once.

    Args:
        settings: In force for this process.
        place: The URL of a database whose schema fits, or the project it is in.
        scripts: Processors in files, each `file.py:Class`.
        on_started: Called with the worker's name once it is in the fleet.
    """
    stop, stop_now = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (stop_now if stop.is_set() else stop).set()

    with stop_signals(on_signal):
        async with running_worker(settings, place, scripts=scripts) as worker:
            on_started(worker.identity.name)
            told = [asyncio.ensure_future(event.wait()) for event in (stop, worker.drain_asked)]
            await asyncio.wait(told, return_when=asyncio.FIRST_COMPLETED)
            for wait in told:
                wait.cancel()
            stop.set()
            await worker.drain(stop_now=stop_now)


@contextlib.contextmanager
def stop_signals(on_signal: Callable[[], None]) -> Iterator[None]:
    """Call `on_signal` in the running event loop at each SIGTERM and SIGINT, as long as the block lasts."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
