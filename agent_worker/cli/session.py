"""From what was typed to settings, and from settings to an open database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from agent_worker import app
from agent_worker.db.connection import Database
from agent_worker.registry import processor_classes, settings_class
from agent_worker.settings import Settings, load_settings
from agent_worker.telemetry import configure_logging

Result = TypeVar("Result")


def read_settings(*, scripts: Sequence[str] | None = None, **typed: object) -> Settings:
    """Read the settings; what was typed wins over the environment, and that over `.env`. Logs fall silent.

    Commands that log configure it again; the others speak for themselves.

    Args:
        scripts: Processors in files; they may bring settings of their own.
        typed: Fields of `Settings`; None counts as not typed.

    Raises:
        ConfigurationError: A value is out of range, or the environment holds a misspelt name.
    """
    configure_logging(level="error")
    classes = (settings_class(cls) for cls in processor_classes(scripts or ()).values())
    return load_settings(typed, known=[cls for cls in classes if cls is not None])


def with_database(
    settings: Settings, work: Callable[[Database], Awaitable[Result]], *, may_create: bool = False
) -> Result:
    """Open the database that the settings name, do some work with it, and close it.

    Args:
        settings: In force.
        work: Gets the open database, whose schema fits.
        may_create: Make the embedded database if there is none. A command that only looks must not: in the wrong
            folder it would leave an empty database behind and report that all is well.

    Raises:
        DatabaseUnavailable: Nobody answers, or there is no database to look at.
        SchemaOutOfDate: The schema does not fit this release.
    """
    if not may_create:
        app.require_database(settings)
    with app.database(settings) as url:
        return asyncio.run(_opened(settings, url, work))


async def _opened(settings: Settings, url: str, work: Callable[[Database], Awaitable[Result]]) -> Result:
    await app.ready_database(url, is_ours=settings.database_url is None)
    async with Database(url) as db:
        return await work(db)
