"""Worker processes of one command, under the supervisor."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from agent_worker import app
from agent_worker.registry import build_processors, process_builders
from agent_worker.settings import Settings
from agent_worker.worker.supervisor import Start, Supervisor

SLACK_S = 20.0
"""What a child may need beyond the grace period to leave the fleet properly, also when the database is away."""


async def run_processes(
    settings: Settings,
    database_url: str,
    *,
    scripts: Sequence[str] = (),
    on_ready: Callable[[Sequence[str]], None] | None = None,
    output: IO[bytes] | None = None,
) -> int:
    """Run `settings.processes` workers, each in a process, until SIGTERM or SIGINT or until all have ended.

    Args:
        settings: In force.
        database_url: A database whose schema fits; it must outlive the children.
        scripts: Processors in files, each `file.py:Class`.
        on_ready: Called with the workers' names once all are in the fleet.
        output: Where the children's output goes; None: where ours goes.

    Returns:
        The exit code: 0, or see `Supervisor.run`.

    Raises:
        ConfigurationError: A processor or the default model cannot be used; found here, so that it is told once.
    """
    process_builders(build_processors(scripts, kinds=settings.kinds))
    await app.chat_models(settings).close()
    supervisor = make_supervisor(settings, database_url, scripts=scripts, on_ready=on_ready, output=output)
    with app.stop_signals(supervisor.stop):
        return await supervisor.run()


def make_supervisor(
    settings: Settings,
    database_url: str,
    *,
    scripts: Sequence[str] = (),
    on_ready: Callable[[Sequence[str]], None] | None = None,
    output: IO[bytes] | None = None,
) -> Supervisor:
    """Return a supervisor of worker processes that nobody has started yet; arguments as for `run_processes`."""
    return Supervisor(
        lambda start: list(_command(settings, scripts, start)),
        processes=settings.processes,
        environment={**os.environ, "DATABASE_URL": database_url},
        stop_patience_s=settings.shutdown_grace_s + SLACK_S,
        on_ready=on_ready,
        output=output,
    )


def _command(settings: Settings, scripts: Sequence[str], start: Start) -> Iterator[str]:
    # -P: a file queue.py in the current folder must not take the place of Python's own.
    yield from (sys.executable, "-P", "-m", "agent_worker.cli", "run")
    yield from ("--supervised", str(start.link), "--processes", "1")
    yield from ("--concurrency", str(settings.concurrency), "--log-level", settings.log_level)
    if settings.kinds:
        yield from ("--kinds", ",".join(settings.kinds))
    if settings.name is not None:
        # A crashed child's name is taken until its lease has run out.
        again = f".{start.number}" if start.number > 1 else ""
        yield from ("--name", f"{settings.name}-{start.index}{again}")
    if settings.metrics_port is not None:
        port = settings.metrics_port + start.index if settings.metrics_port else 0
        yield from ("--metrics-port", str(port))
    for script in scripts:
        yield from ("--processor", script)
