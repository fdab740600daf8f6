"""The heartbeat's connection: blocking, for use from a thread."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg

from agent_worker.db.connection import (
    complete_conninfo,
    describe_target,
    refused_values,
    translated,
    with_role,
)
from agent_worker.db.fleet import Beat
from agent_worker.db.queries import sql


class PostgresPulse:
    """One connection that updates one worker's row, and comes back by itself after a loss."""

    def __init__(self, conninfo: str, worker_id: UUID) -> None:
        self._conninfo = with_role(complete_conninfo(conninfo), "heartbeat")
        self._target = describe_target(self._conninfo)
        self._worker_id = worker_id
        self._conn: psycopg.Connection[tuple[Any, ...]] | None = None

    def beat(self, in_flight: int) -> Beat:
        """Say that the worker lives.

        Returns:
            What the worker should know.

        Raises:
            DatabaseUnavailable: The beat did not arrive; the next one connects anew.
        """
        with refused_values(), translated(self._target):
            try:
                if self._conn is None:
                    self._conn = psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=None)
                params = {"worker_id": self._worker_id, "in_flight": in_flight}
                row = self._conn.execute(sql("heartbeat"), params).fetchone()
            except psycopg.Error:
                self.close()
                raise
        return Beat(*row) if row is not None else Beat(is_known=False)

    def close(self) -> None:
        """Disconnect; twice is fine."""
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()
