"""The way of a project's HTTP API: a worker with its URL and secret key, and no PostgreSQL connection."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from agent_worker.db.realtime import Realtime
from agent_worker.db.rest import Rest
from agent_worker.db.rest_pulse import RestPulse


class RestLink:
    """Calls by PostgREST, hints by Realtime; a `Link`.

    Args:
        rest: An open transport; the caller closes it.
    """

    def __init__(self, rest: Rest) -> None:
        self.transport = rest

    @property
    def in_use(self) -> int:
        """Calls under way at this moment."""
        return self.transport.in_use

    def pulse(self, worker_id: UUID) -> RestPulse:
        """Return a heartbeat's client, which connects with the first beat."""
        return RestPulse(self.transport.project, worker_id)

    def ears(self, *, on_notify: Callable[[str, str], None], on_up: Callable[[], None]) -> Realtime:
        """Return what hears of changes to the table of tasks, where Realtime can be reached."""
        return Realtime(self.transport.project, on_notify=on_notify, on_up=on_up)
