"""Try again inside the attempt, while nothing has been shown yet.

A provider that is briefly overloaded should not cost a task one of its attempts. Once the first piece of text is out,
an error goes up: the engine then starts a new attempt, which tells the client to drop what it shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

import structlog
import tenacity

from agent_worker.domain.chat import ChatChunk, ChatModel, ChatRequest
from agent_worker.domain.errors import ProviderPaused, UpstreamError

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to insist; what is left over is the engine's, which can wait without holding a worker.

    Attributes:
        tries: Most requests for one answer, the first included.
        base_s: Ceiling of the first wait in seconds; it doubles, with full jitter, on top of what `Retry-After` asks.
        total_s: No wait is begun that would end later than this after the first try.
    """

    tries: int = 3
    base_s: float = 0.5
    total_s: float = 20.0


class RetryingChat:
    """A model whose transient refusals (`UpstreamError.retryable`) before the first piece of text are tried again.

    Args:
        model: The model itself.
        policy: How often and how long.
        sleep: Waits that many seconds; may raise `ProviderPaused` to end the wait.
        is_paused: Whether the model is left alone from now on, so that the last error goes up instead of a wait.
    """

    def __init__(
        self,
        model: ChatModel,
        policy: RetryPolicy = RetryPolicy(),
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        is_paused: Callable[[], bool] = lambda: False,
    ) -> None:
        self._model = model
        self._policy = policy
        self._sleep = sleep
        self._is_paused = is_paused

    @property
    def id(self) -> str:
        """`provider/model` of the model inside."""
        return self._model.id

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Yield what the model yields.

        Raises:
            UpstreamError: Permanent, or transient in the last try, or after the first piece of text.
            ProviderPaused: The model is paused; at once, and in the middle of a wait.
        """
        opened: _Opened = await self._retrying()(self._open, request)
        async with aclosing(opened.rest) as rest:
            yield opened.first
            async for chunk in rest:
                yield chunk

    async def _open(self, request: ChatRequest) -> _Opened:
        chunks = self._model.stream(request)
        return _Opened(await anext(chunks), chunks)

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        """Return full jitter on top of `Retry-After`, so that a fleet told to wait does not come back as one."""
        jitter_s = tenacity.wait_random_exponential(multiplier=self._policy.base_s)(state)
        error = _upstream_error(state)
        return jitter_s if error is None or error.retry_after_s is None else jitter_s + error.retry_after_s

    def _is_worth_a_try(self, error: BaseException) -> bool:
        if not isinstance(error, UpstreamError) or isinstance(error, ProviderPaused):
            return False
        return error.retryable and not self._is_paused()

    def _retrying(self) -> tenacity.AsyncRetrying:
        return tenacity.AsyncRetrying(
            sleep=self._sleep,
            stop=tenacity.stop_after_attempt(self._policy.tries)
            | tenacity.stop_before_delay(self._policy.total_s),
            wait=self._wait_s,
            retry=tenacity.retry_if_exception(self._is_worth_a_try),
            before_sleep=_log,
            reraise=True,
        )


@dataclass(frozen=True, slots=True)
class _Opened:
    """A stream that has begun to speak."""

    first: ChatChunk
    rest: AsyncGenerator[ChatChunk, None]


def _upstream_error(state: tenacity.RetryCallState) -> UpstreamError | None:
    error = state.outcome.exception() if state.outcome is not None else None
    return error if isinstance(error, UpstreamError) else None


def _log(state: tenacity.RetryCallState) -> None:
    if (error := _upstream_error(state)) is not None:
        logger.info(
            "model.retried",
            provider=error.provider,
            status=error.status,
            tries=state.attempt_number,
            wait_s=round(state.upcoming_sleep, 3),
        )
