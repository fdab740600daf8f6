"""A block's own policies: how long a try may take, how often it is tried, and what follows its failure."""

from __future__ import annotations

import asyncio
import itertools
import random
import time

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.events import error_type
from agent_worker.pipelines.definition.policies import Continue, Fail, Goto, Retry, UseDefault
from agent_worker.pipelines.definition.steps import written
from agent_worker.pipelines.running.blocks import run_block
from agent_worker.pipelines.running.execution import Step
from agent_worker.pipelines.running.interruptions import UNANSWERED
from agent_worker.pipelines.running.state import Effect

_ONCE = Retry(attempts=1)


async def run_with_policies(step: Step) -> Effect:
    """Run a block as often as its `retry` allows, then let `onError` decide.

    Raises:
        ProcessorError: It failed for good.
    """
    policy, waits = step.block.retry or _ONCE, _Waits(step)
    for attempt in itertools.count(1):
        step.attempt = attempt
        try:
            return await _timed(step)
        except UNANSWERED:
            raise
        except ProcessorError as error:
            if attempt >= policy.attempts or not _may_retry(policy, error):
                await waits.forget()
                return await _decided(step, error)
            delay_s = policy.wait_s(attempt) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
            delay_s = await waits.left_s(attempt, max(delay_s, error.retry_after_s or 0.0))
            await step.voice.retrying(error, attempt=attempt, delay_s=delay_s)
            await asyncio.sleep(delay_s)
    raise AssertionError  # the loop has no end of its own


class _Waits:
    """When each try of a step was to be repeated: a run that goes on makes its tries again, but waits no time again.

    Args:
        step: The step; what is remembered ends with the last of its tries, for something around it may begin it anew.
    """

    def __init__(self, step: Step) -> None:
        self._checkpoint = step.execution.ctx.checkpoint
        self._key = f"retries:{step.place}"

    async def left_s(self, attempt: int, delay_s: float) -> float:
        """Return what is left of the wait after a try that has failed; never more than `delay_s`, whatever clocks say."""
        now, until = time.time(), await self._known()
        if len(until) < attempt:
            until = [*until, now + delay_s]
            await self._checkpoint.put(self._key, until)
        return min(max(until[attempt - 1] - now, 0.0), delay_s)

    async def forget(self) -> None:
        """Let the next try be the first one."""
        if await self._known():
            await self._checkpoint.put(self._key, [])

    async def _known(self) -> list[float]:
        noted = await self._checkpoint.get(self._key)
        return [each for each in noted if isinstance(each, int | float)] if isinstance(noted, list) else []


async def _timed(step: Step) -> Effect:
    limit = asyncio.timeout(step.block.timeout_s)
    try:
        async with limit, step.opened:
            return await run_block(step)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise ProcessorError(
            f"The step {step.block.name!r} took longer than its limit of {step.block.timeout_s:g} s.",
            code="step_timeout",
        ) from error


def _may_retry(policy: Retry, error: ProcessorError) -> bool:
    return error_type(error.code) in policy.errors if policy.errors else error.retryable


async def _decided(step: Step, error: ProcessorError) -> Effect:
    block = step.block
    match block.on_error:
        case Fail():
            raise error
        case Continue():
            effect = Effect()
        case Goto(name):
            effect = Effect(goto=name)
        case UseDefault(value):
            effect = Effect(values=dict.fromkeys(written(block), value))
    await step.voice.failed(error)
    return effect
