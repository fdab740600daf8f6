"""What a socket asks for when it follows tables, and what it has to offer in return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent_worker.domain.caller import Caller
from agent_worker.domain.errors import AgentWorkerError


@dataclass(frozen=True, slots=True)
class Binding:
    """One entry of `config.postgres_changes` in a channel's join.

    Attributes:
        id: The socket's own number for it, never 0; comes back in `ids` of each event that it matches.
        event: `INSERT`, `UPDATE`, `DELETE` or `*`.
        schema: Schema, or `*` for every published one.
        table: Table; `*` or None for every published table of the schema.
        filter: `column=operator.value` and more of them after commas; blank or None lets everything through.
        select: Columns to deliver besides the primary key; None delivers all that the caller may read.
    """

    id: int
    event: str
    schema: str
    table: str | None
    filter: str | None
    select: tuple[str, ...] | None


class Subscriber(Protocol):
    """Who receives changes: one channel of one socket."""

    @property
    def caller(self) -> Caller:
        """Whose eyes each row is read with; replaced when the token is refreshed, and read anew for each change."""

    def deliver(self, ids: Sequence[int], data_json: str) -> None:
        """Take one change. Never blocks, never raises; the channel's own queue is bounded.

        Args:
            ids: Numbers of the bindings it matched, in the order they were added.
            data_json: JSON text of `payload.data`, made once and shared by all sockets.
        """


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A row somebody inserted into `realtime.messages`, to be sent to everybody on its topic.

    Attributes:
        topic: Name of the channel, without `realtime:`.
        event: Name of the event.
        payload_json: JSON text of the payload.
        private: Whether only channels that joined as private get it.
        id: The row's id; it becomes `meta.id`.
    """

    topic: str
    event: str
    payload_json: str
    private: bool
    id: str


class BindingRefused(AgentWorkerError):
    """A binding cannot be served; `str(error)` is the text of the `system` event that says so."""
