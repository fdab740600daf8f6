"""Ask row level security, once for each distinct caller, which changed rows it may see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import structlog

from agent_worker.db.arrays import BigintArray, TextArray
from agent_worker.db.connection import Database
from agent_worker.db.feed.pgoutput import RowChange
from agent_worker.db.feed.tables import Table
from agent_worker.db.feed.values import array_text
from agent_worker.domain.caller import Eyes

logger = structlog.get_logger(__name__)

SETTLE_POLL_S = 0.001
SETTLE_TIMEOUT_S = 30.0
"""Longest wait for a commit to be seen: it may wait for a synchronous standby, but the log has it already."""
MOST_CALLERS = 1_000
"""Callers asked for in one statement: about 50 ms."""

Key: TypeAlias = tuple[str, ...]
"""Values of a primary key in PostgreSQL's text format, in the order of its columns."""


class Visibility:
    """Row level security's answers.

    Args:
        db: A connection that may become each of the roles.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def settle(self, changes: Iterable[RowChange]) -> None:
        """Return once statements see what was committed.

        The log is ahead of them: a commit is sent from there a moment before the server lets anybody see it. A client
        that is told then would look and find nothing, and row level security would hide the row from its owner.

        Raises:
            DatabaseUnavailable: Nobody answers.
        """
        xids = {change.xid for change in changes if change.xid is not None}
        if not xids:
            return
        params = {"xids": BigintArray(xids)}
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while not (await self._db.call("are_visible", params))[0][0]:
            if time.monotonic() > deadline:
                logger.warning("feed.commit_not_visible", transactions=len(xids), after_s=SETTLE_TIMEOUT_S)
                return
            await asyncio.sleep(SETTLE_POLL_S)

    async def visible(self, table: Table, asks: Mapping[Eyes, Sequence[Key]]) -> dict[Eyes, set[Key]]:
        """Tell which rows, as they are now, each caller may see.

        Args:
            table: With a primary key.
            asks: Keys of the rows by who wants to see them.

        Returns:
            The keys of the visible rows; whoever sees none may be missing.

        Raises:
            DatabaseUnavailable: Nobody answers, or not in time.
        """
        seen: dict[Eyes, set[Key]] = {}
        wanted = list(asks.items())
        for first in range(0, len(wanted), MOST_CALLERS):
            part = wanted[first : first + MOST_CALLERS]
            rows = await self._db.call("visible_rows", _params(table, part))
            for caller, positions in rows:
                eyes, keys = part[caller - 1]
                seen[eyes] = {keys[position - 1] for position in positions}
        return seen


def _params(table: Table, asks: Sequence[tuple[Eyes, Sequence[Key]]]) -> dict[str, object]:
    return {
        "oid": table.oid,
        "columns": TextArray(table.key),
        "types": TextArray(table.types[name].sql_name for name in table.key),
        "roles": TextArray(eyes.role for eyes, _ in asks),
        "claims": TextArray(eyes.claims for eyes, _ in asks),
        "keys": TextArray(
            array_text(key[place] for key in keys) for _, keys in asks for place in range(len(table.key))
        ),
    }
