"""Statements of `queries/`, run with a caller's rights: row level security decides, as for statements of strangers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString

import psycopg
from psycopg import errors as pg

from agent_worker.db.access.access import TIMEOUTS_S
from agent_worker.db.access.acting import Acting, Circumstances, as_refused
from agent_worker.db.connection import Database
from agent_worker.db.queries import sql
from agent_worker.db.transport import Params, Rows
from agent_worker.domain.caller import Caller

_REFUSALS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.InternalError,
    psycopg.NotSupportedError,
    psycopg.ProgrammingError,
    pg.ProgramLimitExceeded,
)


class Statements:
    """Runs our own statements as somebody else.

    Args:
        db: An open pool whose sessions have given up a superuser's rights, see `give_up_rights`.
        timeouts_s: Longest that a statement may take, by role; None, or a role that is missing, for no limit.
    """

    def __init__(self, db: Database, *, timeouts_s: Mapping[str, float | None] = TIMEOUTS_S) -> None:
        self._db = db
        self._timeouts_s = timeouts_s

    async def rows(
        self, caller: Caller, name: LiteralString, params: Params, *, is_read_only: bool = False
    ) -> Rows:
        """Run `queries/{name}.sql` as a caller, in one transaction and one round trip, and return its rows.

        Raises:
            StatementRefused: PostgreSQL says no; nothing has been changed.
            DatabaseUnavailable: Nobody answers, or not in time.
        """
        acting = Acting(caller, Circumstances(), "public", self._timeouts_s.get(caller.role))
        async with self._db.connection() as conn:
            try:
                async with conn.pipeline():
                    await conn.execute(sql("act_as"), acting.settings(is_read_only=is_read_only))
                    cursor = await conn.execute(sql(name), params, binary=True)
                return await cursor.fetchall()
            except _REFUSALS as exc:
                raise as_refused(exc) from None
