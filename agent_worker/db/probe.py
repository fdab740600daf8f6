"""Look at a server and at what our role may do there; reads no table of ours and changes nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from agent_worker.db.connection import Database
from agent_worker.db.queries import sql


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server, as seen at one moment.

    Attributes:
        version: As PostgreSQL says it: `18.6`.
        role: Whom we are connected as.
        clock: The server's time, read halfway through the round trip.
        round_trip_s: Seconds the question took.
    """

    version: str
    role: str
    clock: datetime
    round_trip_s: float


class Probe:
    """Questions for `check` and `doctor`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def server_facts(self) -> ServerFacts:
        """Ask the server who it is and what time it has."""
        began = time.perf_counter()
        ((version, role, clock),) = await self._db.fetch_all(sql("server_facts"))
        return ServerFacts(version.split(" ")[0], role, clock, time.perf_counter() - began)

    async def missing_rights(self) -> list[str]:
        """Return what our role may not do and should, each as `to insert into …`; empty when all is well.

        Raises:
            SchemaOutOfDate: The tables are not there.
        """
        return [row[0] for row in await self._db.fetch_all(sql("missing_rights"))]
