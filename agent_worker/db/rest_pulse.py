"""The heartbeat over HTTP: blocking, for use from a thread, with connections of its own."""

from __future__ import annotations

from uuid import UUID

import httpx
from supabase import Client, ClientOptions, create_client

from agent_worker.db.fleet import Beat
from agent_worker.db.project import Project
from agent_worker.db.rest import arguments, rows, rpc_name
from agent_worker.db.rest_errors import Answered, explained

TIMEOUTS = httpx.Timeout(8.0, connect=5.0)
"""A beat that takes longer is better sent again: three have to fit into a lease."""


def _refuse(response: httpx.Response) -> None:
    if not response.is_success:
        response.read()
        raise Answered(response.status_code, response.text)


class RestPulse:
    """Updates one worker's row; a `Pulse`.

    Args:
        project: Where the row is.
        worker_id: Whose row.
    """

    def __init__(self, project: Project, worker_id: UUID) -> None:
        self._project = project
        self._worker_id = worker_id
        self._http = httpx.Client(timeout=TIMEOUTS, event_hooks={"response": [_refuse]})
        self._client: Client | None = None

    def beat(self, in_flight: int) -> Beat:
        """Say that the worker lives; see `Pulse`, and `explained` for the errors."""
        if self._client is None:
            options = ClientOptions(httpx_client=self._http, auto_refresh_token=False, persist_session=False)
            self._client = create_client(self._project.url, self._project.key.get_secret_value(), options)
        params = {"worker_id": self._worker_id, "in_flight": in_flight}
        with explained(self._project):
            reply = self._client.rpc(rpc_name("heartbeat"), arguments(params)).execute()
        (row,) = rows(self._project, reply.data)
        return Beat(*row)

    def close(self) -> None:
        """Close all connections; twice is fine."""
        self._http.close()
