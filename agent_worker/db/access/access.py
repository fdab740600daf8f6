"""The door of this room: run a statement as a caller, with a catalog that follows the schema.

The catalog is read anew when somebody says NOTIFY pgrst, as migrations for PostgREST do, and when a name is asked for
that it lacks, so that a table made a moment ago is there without a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import Mapping, Sequence

import structlog

from agent_worker.db.access.acting import Acting, Circumstances, Row, kept_open, run
from agent_worker.db.access.catalog import Catalog, load
from agent_worker.db.access.compose import Composition, compose
from agent_worker.db.access.query import Answer, Count, Statement, Wishes
from agent_worker.db.access.refusals import (
    NoRelationship,
    NotSingle,
    StatementRefused,
    TooManyAffected,
    UnknownColumn,
    UnknownFunction,
    UnknownTable,
)
from agent_worker.db.connection import Database
from agent_worker.db.listen import Listener
from agent_worker.domain.caller import ANON, AUTHENTICATED, SERVICE_ROLE, Caller
from agent_worker.domain.errors import DatabaseUnavailable

logger = structlog.get_logger(__name__)

CHANNEL = "pgrst"
"""Where `NOTIFY pgrst, 'reload schema'` is heard; Supabase's migrations and dashboard send it."""

RELOAD_INTERVAL_S = 2.0
"""Least time between two loads that unknown names ask for: anybody may ask for any name."""

TIMEOUTS_S: Mapping[str, float | None] = {ANON: 3.0, AUTHENTICATED: 8.0, SERVICE_ROLE: 60.0}
"""Longest that a statement may take, by role; those of a hosted project, whose API ends at 60 s."""

MAX_ROWS = 1000
"""Most rows of one list; what a hosted project begins with."""

_UNKNOWN = (UnknownTable, UnknownColumn, UnknownFunction, NoRelationship)
_OUTDATED = {"42703", "42P01", "42883", "42704", "42804", "3F000"}
"""A column, table, function, type or schema is not there, or a type does not fit."""


class _Undone(Exception):
    """Carries an answer out of a transaction that is rolled back."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class Access:
    """Runs statements of strangers.

    Args:
        db: An open pool of its own; `give_up_rights` keeps its sessions from being a superuser's.
        schemas: The exposed schemas; the first is meant when none is named.
        max_rows: Most rows of one list in an answer to a read; None for no limit.
        timeouts_s: Longest that a statement may take, by role; None, or a role that is missing, for no limit.
    """

    def __init__(
        self,
        db: Database,
        *,
        schemas: Sequence[str] = ("public",),
        max_rows: int | None = MAX_ROWS,
        timeouts_s: Mapping[str, float | None] = TIMEOUTS_S,
    ) -> None:
        self._db = db
        self._schemas = tuple(schemas)
        self._max_rows = max_rows
        self._timeouts_s = timeouts_s
        self._catalog: Catalog | None = None
        self._is_outdated = False
        self._searched_at = -math.inf
        self._loading = asyncio.Lock()
        self._listener = Listener(
            db.conninfo, (CHANNEL,), on_notify=lambda _channel, _payload: self.outdate(), on_up=self.outdate
        )

    async def start(self) -> None:
        """Read the catalog and begin to listen for changes of it.

        Raises:
            DatabaseUnavailable: Nobody answers.
        """
        await self.catalog()
        await self._listener.start()

    async def stop(self) -> None:
        """Stop listening; twice is fine, unstarted is fine."""
        await self._listener.stop()

    def outdate(self) -> None:
        """Have the catalog read anew before the next statement."""
        self._is_outdated = True

    async def catalog(self) -> Catalog:
        """Return the catalog, read anew where it is known to be outdated."""
        if self._catalog is not None and not self._is_outdated:
            return self._catalog
        async with self._loading:
            if self._catalog is None or self._is_outdated:
                await self._load()
        assert self._catalog is not None  # noqa: S101 - just loaded
        return self._catalog

    async def run(
        self,
        caller: Caller,
        statement: Statement,
        wishes: Wishes,
        circumstances: Circumstances = Circumstances(),  # noqa: B008 - frozen
    ) -> Answer:
        """Run a statement as a caller, in one transaction.

        Raises:
            AccessRefused: It was not run, or was undone; see the tree.
            DatabaseUnavailable: Nobody answers.
        """
        catalog = await self.catalog()
        composition = None
        try:
            composition = self._compose(catalog, statement, wishes)
            return await self._run(caller, composition, wishes, circumstances)
        except (*_UNKNOWN, StatementRefused) as refused:
            if isinstance(refused, StatementRefused) and refused.sqlstate not in _OUTDATED:
                raise
            renewed = await self._renewed(catalog)
            if renewed is catalog:
                raise
            again = self._compose(renewed, statement, wishes)
            if composition is not None and again.query.text == composition.query.text:
                raise
        return await self._run(caller, again, wishes, circumstances)

    def _compose(self, catalog: Catalog, statement: Statement, wishes: Wishes) -> Composition:
        return compose(catalog, statement, wishes, max_rows=self._max_rows)

    async def _run(
        self, caller: Caller, composition: Composition, wishes: Wishes, circumstances: Circumstances
    ) -> Answer:
        schema = self._schemas[0] if wishes.schema is None else wishes.schema
        acting = Acting(caller, circumstances, schema, self._timeouts_s.get(caller.role))
        may_be_undone = (
            wishes.is_undone
            or wishes.max_affected is not None
            or (wishes.is_single and not composition.is_read_only)
        )
        async with self._db.connection() as conn:
            if not may_be_undone:
                return self._answer(composition, wishes, *await run(conn, acting, composition))
            with contextlib.suppress(_Undone):
                async with kept_open(conn):
                    answer = self._answer(composition, wishes, *await run(conn, acting, composition))
                    if wishes.is_undone:
                        raise _Undone(answer)
            return answer

    def _answer(self, composition: Composition, wishes: Wishes, row: Row, plan: object) -> Answer:
        body, rows, total, affected, inserted, key = row
        if wishes.max_affected is not None and affected > wishes.max_affected:
            raise TooManyAffected(affected)
        if wishes.is_single and rows != 1 and not composition.is_void:
            raise NotSingle(rows)
        return Answer(
            body=body,
            rows=rows,
            total=self._total(wishes.count, total, rows if composition.is_write else None, plan),
            inserted=inserted,
            key=key,
            is_void=composition.is_void,
        )

    def _total(
        self, count: Count | None, counted: int | None, written: int | None, plan: object
    ) -> int | None:
        if count is None:
            return None
        if written is not None:
            return written
        guessed = None if plan is None else int(_read_plan(plan))
        if guessed is None or count is Count.EXACT:
            return counted
        if count is Count.PLANNED or counted is None:
            return guessed
        is_more_than_a_page = self._max_rows is not None and counted > self._max_rows
        return max(guessed, counted) if is_more_than_a_page else counted

    async def _renewed(self, catalog: Catalog) -> Catalog:
        """Return a newer catalog, or the same when a name was searched for a moment ago."""
        async with self._loading:
            if self._catalog is catalog and time.monotonic() - self._searched_at >= RELOAD_INTERVAL_S:
                self._searched_at = time.monotonic()
                await self._load()
            return self._catalog or catalog

    async def _load(self) -> None:
        self._is_outdated = False
        try:
            async with self._db.connection() as conn:
                self._catalog = await load(conn, self._schemas)
        except DatabaseUnavailable:
            self._is_outdated = True
            raise
        logger.debug("catalog.loaded", tables=len(self._catalog.tables))


def _read_plan(plan: object) -> float:
    parsed = json.loads(plan) if isinstance(plan, str) else plan
    match parsed:
        case [{"Plan": {"Plan Rows": int(rows) | float(rows)}}, *_]:
            return rows
        case _:
            raise LookupError("EXPLAIN tells no number of rows")
