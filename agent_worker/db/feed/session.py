"""How sessions of the change feed are set, so that values read from the log and by SQL are written alike."""

from __future__ import annotations

import asyncio

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from agent_worker.db.connection import Connection, complete_conninfo, with_role

STATEMENT_TIMEOUT_MS = 10_000
"""Longest statement that looks something up: a policy that takes longer would hold up everybody's changes."""

_SETTINGS = {
    "datestyle": "ISO",
    "timezone": "UTC",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "client_encoding": "UTF8",
    "search_path": "",
}


def feed_conninfo(database_url: str, role: str, *, timeout_ms: int = STATEMENT_TIMEOUT_MS) -> str:
    """Complete a connection string for a session that reads changes.

    Args:
        database_url: `postgresql://…`, or any libpq connection string.
        role: What the connection is for, shown in `pg_stat_activity`.
        timeout_ms: Longest statement; 0 for none.

    Raises:
        ConfigurationError: The string is no PostgreSQL connection string.
    """
    conninfo = with_role(complete_conninfo(database_url), role)
    settings = {**_SETTINGS, "statement_timeout": str(timeout_ms)}
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    given = conninfo_to_dict(conninfo).get("options")
    return make_conninfo(conninfo, options=f"{given} {options}" if given else options)


async def readable(conn: Connection) -> None:
    """Wait until the server has sent something that libpq has not read yet."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    descriptor = conn.pgconn.socket
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
