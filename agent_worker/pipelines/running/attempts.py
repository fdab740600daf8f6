"""A block's own policies: how long a try may take, how often it is tried, and what follows its failure."""

from __future__ import annotations

import asyncio
import itertools
import random

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
    policy = step.block.retry or _ONCE
    for attempt in itertools.count(1):
        step.attempt = attempt
        try:
            return await _timed(step)
        except UNANSWERED:
            raise
        except ProcessorError as error:
            if attempt >= policy.attempts or not _may_retry(policy, error):
                return await _decided(step, error)
            delay_s = policy.wait_s(attempt) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
            delay_s = max(delay_s, error.retry_after_s or 0.0)
            await step.voice.retrying(error, attempt=attempt, delay_s=delay_s)
            await asyncio.sleep(delay_s)
    raise AssertionError  # the loop has no end of its own


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
