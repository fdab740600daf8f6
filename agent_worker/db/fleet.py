"""Workers' lives, and the upkeep that any worker does for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from agent_worker.db.arrays import TextArray
from agent_worker.db.transport import Transport
from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.json import JsonObject, dump_json


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerIdentity:
    """What a worker tells about itself when it enters the fleet.

    Attributes:
        payload_schemas: JSON Schemas of the request payload, of those kinds that describe theirs.
    """

    id: UUID
    name: str
    host: str
    pid: int
    kinds: tuple[str, ...]
    concurrency: int
    version: str
    lease_s: float
    payload_schemas: Mapping[str, JsonObject] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Beat:
    """What a worker is told when it says that it lives.

    Attributes:
        is_known: Whether the fleet knows it; else it has to register again.
        cancel_ids: Held tasks that somebody asked to cancel.
        is_drain_asked: Whether somebody asked it to leave.
    """

    is_known: bool
    cancel_ids: Sequence[UUID] = ()
    is_drain_asked: bool = False


@dataclass(frozen=True, slots=True)
class RescueResult:
    """What became of the tasks of dead workers in one round.

    Attributes:
        next_expiry_s: Seconds until the next lease ends, should no heartbeat come; None when nobody has one.
    """

    retried: int
    failed: int
    cancelled: int
    next_expiry_s: float | None = field(default=None, compare=False)

    @property
    def total(self) -> int:
        """Tasks taken back."""
        return self.retried + self.failed + self.cancelled


@dataclass(frozen=True, slots=True)
class StageResult:
    """How many scheduled tasks became due, and the seconds until the next one does (None: nothing scheduled)."""

    staged: int
    next_due_s: float | None


class Fleet:
    """Registration and upkeep; every call is safe on all workers at once."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def register(self, worker: WorkerIdentity) -> None:
        """Enter the fleet, or return to it.

        Raises:
            ConfigurationError: A living worker has this name.
        """
        params = {
            "id": worker.id,
            "name": worker.name,
            "host": worker.host,
            "pid": worker.pid,
            "kinds": TextArray(worker.kinds),
            "concurrency": worker.concurrency,
            "version": worker.version,
            "lease_s": worker.lease_s,
            "payload_schemas": dump_json(dict(worker.payload_schemas)),
        }
        ((holder,),) = await self._transport.call("register_worker", params)
        if holder is not None:
            raise ConfigurationError(
                f"the worker name is taken by {holder} · names are unique among living workers · "
                "choose another with --name, or leave it out to get one made"
            )

    async def sign_off(self, worker_id: UUID, state: str) -> None:
        """Say that a worker is `draining` or `stopped`."""
        await self._transport.call("sign_off", {"worker_id": worker_id, "state": state})

    async def can_broadcast(self) -> bool:
        """Whether streamed text can go by Realtime Broadcast here."""
        ((can_broadcast,),) = await self._transport.call("can_broadcast", {})
        return bool(can_broadcast)

    async def rescue(self, *, limit: int) -> RescueResult:
        """Take tasks back from dead workers; see the SQL function for who counts as dead."""
        *rows, (*_, next_expiry_s) = await self._transport.call("rescue", {"limit": limit})
        statuses = [row[2] for row in rows]
        return RescueResult(
            retried=statuses.count("pending"),
            failed=statuses.count("failed"),
            cancelled=statuses.count("cancelled"),
            next_expiry_s=next_expiry_s,
        )

    async def stage(self, *, limit: int) -> StageResult:
        """Move tasks whose `run_at` has come into their lanes."""
        ((staged, next_due_s),) = await self._transport.call("stage", {"limit": limit})
        return StageResult(staged, next_due_s)

    async def fail_unknown_kinds(self, *, grace_s: float, limit: int) -> list[tuple[UUID, str]]:
        """Fail tasks whose kind nobody ever offered, once `grace_s` seconds old; returns their ids and kinds."""
        rows = await self._transport.call("fail_unknown_kinds", {"grace_s": grace_s, "limit": limit})
        return [(row[0], row[1]) for row in rows]

    async def expire_questions(self, *, limit: int) -> int:
        """Close questions whose time is up; returns how many."""
        ((closed,),) = await self._transport.call("expire_questions", {"limit": limit})
        return int(closed)

    async def oldest_pending_s(self, kinds: Sequence[str]) -> float:
        """Return for how many seconds the longest waiting task of these kinds has been due; 0 when none is."""
        ((age_s,),) = await self._transport.call("oldest_pending", {"kinds": TextArray(kinds)})
        return float(age_s)

    async def prune(self, *, retention_s: float, limit: int) -> int:
        """Delete tasks that ended more than `retention_s` seconds ago; returns how many."""
        ((pruned,),) = await self._transport.call("prune", {"retention_s": retention_s, "limit": limit})
        return int(pruned)
