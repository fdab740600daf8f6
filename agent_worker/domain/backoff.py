"""When a failed attempt is tried again.

Exponential backoff with full jitter: the delay is uniform between zero and a ceiling that doubles with each
attempt. Full jitter spreads a thundering herd best (Marc Brooker, "Exponential Backoff And Jitter", 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

from agent_worker.domain.errors import Postponed, ProcessorError, ProviderPaused
from agent_worker.domain.outcome import Failed, Release, Retry

MIN_POSTPONE_S = 1.0
"""A task that came back sooner would keep the queue busy with nothing but itself."""
MAX_POSTPONE_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Ceiling of the delay: `base_s` × 2^(attempt − 1), at most `max_s`. Seconds."""

    base_s: float = 1.0
    max_s: float = 300.0

    def delay_s(self, attempt: int, *, roll: float) -> float:
        """Return the wait in seconds after `attempt` (from 1); `roll` is uniform in [0, 1)."""
        doublings = min(attempt - 1, 32)  # 2^32 s is past any max_s; keeps the power small
        return min(self.base_s * 2.0**doublings, self.max_s) * roll


def after_failure(
    error: ProcessorError, *, attempt: int, max_attempts: int, backoff: Backoff, roll: float
) -> Retry | Failed | Release:
    """Decide what follows a failed attempt.

    A paused provider is no fault of the task's, nor is a wish to go on later: it is postponed and the attempt is not used up, be it the last one.

    A `Retry-After` from upstream is a floor: the jitter comes on top, so that a fleet told to wait ten
    seconds does not come back as one.
    """
    if isinstance(error, ProviderPaused | Postponed):
        delay_s = min(max(error.retry_after_s or 0.0, MIN_POSTPONE_S), MAX_POSTPONE_S)
        return Release(delay_s, message=str(error), code=error.code)
    if not error.retryable or attempt >= max_attempts:
        return Failed(message=str(error), code=error.code, retryable=error.retryable)
    delay_s = backoff.delay_s(attempt, roll=roll) + (error.retry_after_s or 0.0)
    return Retry(message=str(error), code=error.code, delay_s=delay_s)
