"""Broadcasts that somebody sends from SQL: rows of `realtime.messages`."""

from __future__ import annotations

from agent_worker.db.feed.pgoutput import Relation, RowChange
from agent_worker.gateway.realtime.binding import Broadcast

_SCHEMA = "realtime"
_TABLE = "messages"


def holds_messages(relation: Relation) -> bool:
    """Whether a table is `realtime.messages`, or one of its partitions by day."""
    return relation.schema == _SCHEMA and (
        relation.table == _TABLE or relation.table.startswith(f"{_TABLE}_")
    )


def broadcast_of(change: RowChange) -> Broadcast | None:
    """Return what a row of `realtime.messages` says; None for one that is no broadcast of JSON."""
    row = change.new
    if change.kind != "INSERT" or row is None or row.get("extension", "broadcast") != "broadcast":
        return None
    topic, event, payload = row.get("topic"), row.get("event"), row.get("payload")
    if topic is None or event is None or payload is None:
        return None
    return Broadcast(topic, event, payload, row.get("private") == "t", row.get("id") or "")
