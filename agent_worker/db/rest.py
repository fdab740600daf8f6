"""Calls over HTTP: the queue's functions by PostgREST, for a worker without a PostgreSQL connection.

Each call is one request to a wrapper in the schema public (`migrations/20260101001600_rest_api.sql`) and one transaction
there. Arguments go as JSON objects by name, rows come back as an array of JSON objects, or of bare values where a
row has one column; both look to callers as they do over a PostgreSQL connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any, LiteralString, Self
from uuid import UUID

import httpx
from supabase import AsyncClient, AsyncClientOptions, acreate_client

from agent_worker.db.project import Project
from agent_worker.db.rest_errors import Answered, explained
from agent_worker.db.transport import Params, Rows, Transport
from agent_worker.domain.errors import ConfigurationError

CALL_TIMEOUT_S = 30.0
"""No call of ours takes longer; the project's own statement_timeout, 8 s unless changed, ends most of them before."""

TIMEOUTS = httpx.Timeout(CALL_TIMEOUT_S, connect=5.0, pool=10.0)

LIMITS = httpx.Limits(max_connections=8, max_keepalive_connections=8)
"""A worker's loops hardly ever call at once; more connections would only hide a server that does not answer."""


def _optional(read: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda value: None if value is None else read(value)


_uuid, _time, _float = _optional(UUID), _optional(datetime.fromisoformat), _optional(float)

_READ: Mapping[str, Callable[[Any], object]] = {
    **dict.fromkeys(("id", "user_id", "parent_id", "task_id"), _uuid),
    **dict.fromkeys(
        ("created_at", "updated_at", "started_at", "next_fire_at", "last_slot", "seen_at", "slot"), _time
    ),
    **dict.fromkeys(("waited_s", "next_due_s", "next_expiry_s"), _float),
    "cancel_ids": lambda values: [UUID(value) for value in values],
}
"""Columns that JSON has no type for, by the names they have in every function."""


def rpc_name(name: str) -> str:
    """Return the public function that stands for a statement of `queries/`."""
    return f"agent_worker_{name}"


def arguments(params: Params) -> dict[str, Any]:
    """Return a call's arguments by the names they have in the function; the client writes UUIDs and times as text."""
    return {f"p_{name}": value for name, value in params.items()}


def rows(project: Project, data: Any) -> Rows:
    """Return what a wrapper answered as rows, whose columns have the types they have over a PostgreSQL connection.

    Raises:
        ConfigurationError: It is no array: whoever answered is no PostgREST.
    """
    if not isinstance(data, list):
        raise ConfigurationError(
            f"{project.target} does not answer as a Supabase project (no array) · check SUPABASE_URL"
        )
    return [_row(item) for item in data]


def _row(item: Any) -> tuple[Any, ...]:
    if isinstance(item, dict):
        return tuple(_READ[name](value) if name in _READ else value for name, value in item.items())
    return (item,)


async def _refuse(response: httpx.Response) -> None:
    # The client would drop the status, and with it what a gateway means that sends no code.
    if not response.is_success:
        await response.aread()
        raise Answered(response.status_code, response.text)


class Rest:
    """One project's functions; a `Transport`. Errors are those of `explained`.

    Args:
        project: Whose.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.target = project.target
        self.in_use = 0
        # HTTP/1.1: with HTTP/2 all calls would share one connection, and be lost together when the server ends it.
        self._http = httpx.AsyncClient(timeout=TIMEOUTS, limits=LIMITS, event_hooks={"response": [_refuse]})
        self._client: AsyncClient | None = None

    async def open(self) -> None:
        """Make the client; nothing is sent yet."""
        options = AsyncClientOptions(httpx_client=self._http, auto_refresh_token=False, persist_session=False)
        self._client = await acreate_client(self.project.url, self.project.key.get_secret_value(), options)

    async def close(self) -> None:
        """Close all connections; twice is fine."""
        self._client = None
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Make the client."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self.close()

    async def call(self, name: LiteralString, params: Params) -> Rows:
        """Call the function that stands for `queries/{name}.sql` and return its rows; see `Transport`."""
        if self._client is None:
            raise RuntimeError("the transport is not open")
        self.in_use += 1
        try:
            with explained(self.project):
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    reply = await self._client.rpc(rpc_name(name), arguments(params)).execute()
        finally:
            self.in_use -= 1
        return rows(self.project, reply.data)

    @contextlib.asynccontextmanager
    async def together(self) -> AsyncIterator[Transport]:
        """Give this transport: its calls run one after the other, each in a transaction of its own; see `Transport`.

        What a broken connection leaves half done is done when the batch is sent again, and what was done is not done
        twice: events are numbered, and checkpoints, children and outcomes are recognised.
        """
        yield self
