"""How a worker reaches the SQL functions that hold the queue's state."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, LiteralString, Protocol, TypeAlias

Params: TypeAlias = Mapping[str, Any]
Rows: TypeAlias = list[tuple[Any, ...]]


class Transport(Protocol):
    """Calls statements of `queries/` by their names.

    Errors are the domain's: what may pass by itself is `DatabaseUnavailable`, what needs a person is `SchemaOutOfDate`
    or `ConfigurationError`, and a value of one task that PostgreSQL does not take is `ValueRefused`.
    """

    @property
    def target(self) -> str:
        """Name the database for a person, without its secrets."""
        ...

    async def call(self, name: LiteralString, params: Params) -> Rows:
        """Run `queries/{name}.sql` and return its rows."""
        ...

    def together(self) -> AbstractAsyncContextManager[Transport]:
        """Give a transport whose calls commit together where that is possible, and in order where it is not.

        Every call is such that repeating it after a failure writes once, so callers need no more than the order.
        """
        ...
