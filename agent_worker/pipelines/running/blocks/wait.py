"""`wait`: go on later. The moment is remembered; a wait of more than a second gives the task back meanwhile."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

from agent_worker.domain.errors import Postponed
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.definition.flow import Wait
from agent_worker.pipelines.definition.values import Ref
from agent_worker.pipelines.durations import parse_duration
from agent_worker.pipelines.running.execution import Step, unsupported
from agent_worker.pipelines.running.state import Effect

_SHORT_S = 1.0
"""Shorter waits hold the worker, for giving a task back and taking it again is no cheaper."""


async def run(step: Step, block: Wait) -> Effect:
    """Wait, or end the attempt until the moment has come.

    Raises:
        Postponed: It has not.
        ProcessorError: The variable holds neither a duration nor a moment (code `invalid_wait`).
    """

    async def choose() -> JsonObject:
        return {"until": _moment(step, block)}

    noted = (await step.note("wake", choose))["until"]
    until = noted if isinstance(noted, int | float) else 0.0
    left_s = until - time.time()
    if left_s <= 0:
        return Effect()
    if left_s <= _SHORT_S:
        await asyncio.sleep(left_s)
        return Effect()

    async def postpone() -> None:
        raise Postponed(f"The step {block.name!r} waits.", retry_after_s=max(until - time.time(), 0.0))

    await step.execution.quiet.ask(postpone)
    return Effect()


def _moment(step: Step, block: Wait) -> float:
    """Return when to go on, in seconds since 1970."""
    if block.seconds is not None:
        seconds = (
            step.scope.values.get(block.seconds.name) if isinstance(block.seconds, Ref) else block.seconds
        )
        return time.time() + _seconds(seconds)
    until = step.scope.values.get(block.until.name) if isinstance(block.until, Ref) else block.until
    try:
        moment = datetime.fromisoformat(str(until))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise unsupported(f"{until!r} is no ISO 8601 time with its zone.", code="invalid_wait")
    return moment.timestamp()


def _seconds(value: JsonValue) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    if isinstance(value, str) and (seconds := parse_duration(value)) is not None:
        return seconds
    raise unsupported(f"{value!r} is no duration, such as 30s, nor a number of seconds.", code="invalid_wait")
