"""Start, continue, show and stop runs of stored agents, in the callers' names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4, uuid5

from agent_worker.db.continuing import Continuing
from agent_worker.db.runs import Run, Runs
from agent_worker.domain.caller import Caller
from agent_worker.domain.definitions import StoredDefinition
from agent_worker.domain.errors import GatewayError
from agent_worker.domain.events import error, usage
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.task import TaskStatus
from agent_worker.gateway.agents.bodies import ToolResult
from agent_worker.gateway.agents.catalogue import Catalogue
from agent_worker.gateway.agents.refusals import invalid, not_found, refusals
from agent_worker.pipelines.running.usage import Used

LONGEST_KEY = 255
"""Characters of an `Idempotency-Key`."""

_KEYED = UUID("6f1c1f6e-5d4b-5a36-9a3b-0c3f7d1f2a10")
"""Namespace of the ids of runs that were started under a key; random, and the same for ever."""

_KEYED_VERSION = 5


@dataclass(frozen=True, slots=True)
class Execution:
    """A run of an agent.

    Attributes:
        id: The task's.
        run: How it stands.
    """

    id: UUID
    agent: StoredDefinition
    run: Run

    def as_json(self) -> JsonObject:
        """Return `{executionId, agentId, status, cursor, output?, error?, usage?}`."""
        shown: dict[str, JsonValue] = {
            "executionId": str(self.id),
            "agentId": str(self.agent.id),
            "status": str(self.run.status),
            "cursor": self.run.cursor,
        }
        response = self.run.response
        if self.run.status is TaskStatus.COMPLETED:
            if "output" in response:
                shown["output"] = response["output"]
            shown["usage"] = _usage(response)
        elif self.run.status.is_final:
            shown["error"] = _failure(self.run)
        return shown


class Running:
    """What callers do with agents.

    Args:
        runs: Rows, seen with the caller's rights.
        continuing: Answers questions, with the caller's rights as well.
        catalogue: The agents.
    """

    def __init__(self, runs: Runs, continuing: Continuing, catalogue: Catalogue) -> None:
        self._runs = runs
        self._continuing = continuing
        self._catalogue = catalogue

    async def start(
        self,
        caller: Caller,
        agent: StoredDefinition,
        given: JsonObject,
        *,
        trigger: str | None = None,
        key: str | None,
    ) -> UUID:
        """Run an agent, and return the run's id.

        The same key of the same caller for the same agent is the same run, whichever gateway is asked and whenever, for
        as long as the run's row is kept: the id of the row is made of the three.

        Raises:
            GatewayError: 400, the input or the trigger does not fit; 409, the key was used with another input.
        """
        payload = await self._catalogue.request(agent, trigger, given)
        run_id = uuid4() if key is None else _keyed_id(caller, agent, key)
        with refusals():
            if await self._runs.start(caller, run_id, payload):
                return run_id
            if await self._runs.is_same(caller, run_id, payload):
                return run_id
        raise GatewayError(
            "This Idempotency-Key was used with another input.", status=409, code="idempotency_mismatch"
        )

    async def find(self, caller: Caller, reference: str, run_id: str, *, is_slug: bool = False) -> Execution:
        """Return a run of an agent.

        Raises:
            GatewayError: 404, the caller sees no such run, or it is another agent's.
        """
        execution_id = _uuid(run_id)
        run = await self._runs.look(caller, execution_id)
        if run is None or run.agent is None:
            raise not_found("execution")
        agent = await self._catalogue.find(reference, run.version, is_slug=is_slug)
        if run.agent.lower() not in {agent.slug, str(agent.id)}:
            raise not_found("execution")
        return Execution(execution_id, agent, run)

    async def go_on(self, caller: Caller, execution: Execution, results: Sequence[ToolResult]) -> int:
        """Answer what a run waits for, and return the cursor behind which its next leg begins.

        The same results again change nothing, and lead to the same leg.

        Raises:
            GatewayError: 400, the results fit no question; 403, it is somebody else's to answer; 404, the run is gone;
                409, the question was withdrawn or is out of time.
        """
        given = [result.as_json() for result in results]
        with refusals():
            return await self._continuing.answer(execution.id, given, caller=caller)

    async def cancel(self, caller: Caller, execution: Execution) -> TaskStatus:
        """Ask for a stop, and return the status now: `processing` until its worker has stopped it.

        Raises:
            GatewayError: 403, the caller may only look on; 404, it is gone.
        """
        with refusals():
            status = await self._runs.cancel(caller, execution.id)
        if status is None:
            raise not_found("execution")
        return status


def outlives_connections(run_id: UUID) -> bool:
    """Tell whether a run was started under a key: nobody who hangs up stops it, for it may be asked for again."""
    return run_id.version == _KEYED_VERSION


def checked_key(text: str | None) -> str | None:
    """Return an `Idempotency-Key`.

    Raises:
        GatewayError: 400, it is empty or too long.
    """
    if text is not None and not 0 < len(text.strip()) <= LONGEST_KEY:
        raise invalid(f"Idempotency-Key must have 1 to {LONGEST_KEY} characters")
    return text


def _keyed_id(caller: Caller, agent: StoredDefinition, key: str) -> UUID:
    return uuid5(_KEYED, f"{caller.user_id or caller.role}\n{agent.id}\n{key}")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise not_found("execution") from None


def _usage(response: JsonObject) -> JsonObject:
    """Return what a run used, in the fields of the event `usage`."""
    used = Used.read(response.get("usage"))
    told = usage(input_tokens=used.input_tokens, output_tokens=used.output_tokens, cost_usd=used.cost)
    return told.data


def _failure(run: Run) -> JsonObject:
    """Return why a run ended without a result, in the fields of the event `error`."""
    code = str(run.response.get("code", run.status))
    message = str(run.response.get("error", f"The task ended as {run.status}."))
    return error(code=code, message=message, retryable=run.response.get("retryable") is True).data
