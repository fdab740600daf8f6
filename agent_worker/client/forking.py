"""Run a pipeline's task again from one of its steps on, beside the run that was."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from uuid import UUID

from agent_worker.db.connection import Database
from agent_worker.db.definitions import Definitions
from agent_worker.db.forks import Forks
from agent_worker.db.tasks import Tasks
from agent_worker.domain.client_errors import ForkRefused, TaskNotFound
from agent_worker.domain.errors import InvalidPayload
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.replay import Checkpoint
from agent_worker.domain.task import TaskStatus
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.fork import Past, kept_keys
from agent_worker.pipelines.library import FORK, NO_PINS, Pin, Pins
from agent_worker.pipelines.names import PIPELINE, RUN_START
from agent_worker.pipelines.reading.wire import read_wire
from agent_worker.pipelines.running.triggers import to_run
from agent_worker.pipelines.validation import load


async def fork(db: Database, task_id: UUID, from_step: str, *, given: JsonObject | None = None) -> UUID:
    """Insert a task that begins at a step of another one's run, with what the steps before it have done.

    The other task stays as it is; it may have ended or not, as long as it has come to the step. The new one runs the same
    versions of the same definitions. Its stream is its own and tells nothing of the steps before; its usage and the limits of
    the definition count them.

    Args:
        db: An open database.
        task_id: A task of the kind `pipeline`.
        from_step: Name of a step of the definition's outermost list.
        given: Values of the inputs, instead of the other task's. What has run already has used those.

    Returns:
        The new task's id.

    Raises:
        TaskNotFound: There is no such task.
        ForkRefused: It is no pipeline, has no such step, or has not come to it.

    Example:
        ```python
        again = await fork(db, task_id, "Write the answer")
        ```
    """
    task = await Tasks(db).get(task_id)
    if task is None:
        raise TaskNotFound(f"there is no task {task_id}")
    if task.kind != PIPELINE:
        raise ForkRefused(f"the task {task_id} is of the kind {task.kind}, which has no steps to begin at")
    forks = Forks(db)
    checkpoints = await forks.checkpoints(task_id)
    payload = task.request_payload
    pins = _pins(checkpoints)
    definition = await _definition(db, payload, pins)
    past = Past(checkpoints, await forks.shown_blocks(task_id), task.status is TaskStatus.COMPLETED)
    keys = await asyncio.to_thread(kept_keys, definition, from_step, past)
    changed: dict[str, JsonValue] = {**payload}
    if pins.agent is not None:
        changed["version"] = pins.agent.version
    if given is not None:
        changed["input"] = given
    note: JsonObject = {"task": str(task_id), "step": from_step, "pins": pins.as_json()}
    return await forks.insert(task_id, payload=changed, keys=keys, note_key=FORK, note=note)


def _pins(checkpoints: Mapping[str, Checkpoint]) -> Pins:
    """Return the versions that the run began with.

    Raises:
        ForkRefused: It has not begun.
    """
    start = checkpoints.get(RUN_START)
    if start is None:
        raise ForkRefused("the run has not begun, so there is nothing to go on from · run it: submit it anew")
    return Pins.read(start.value) if isinstance(start.value, Mapping) else NO_PINS


async def _definition(db: Database, payload: JsonObject, pins: Pins) -> Definition:
    content = payload.get("definition") if pins.agent is None else await _content(db, pins.agent)
    try:
        return to_run(await asyncio.to_thread(load, read_wire(content)), payload.get("trigger"))
    except InvalidPayload as error:
        raise ForkRefused(f"the run's definition cannot be read any more: {error}") from error


async def _content(db: Database, pin: Pin) -> JsonObject:
    stored = await Definitions(db, PIPELINE).find(str(pin.id), pin.version)
    if stored is None:
        raise ForkRefused(f"version {pin.version} of the run's definition is not stored any more")
    return stored.content
