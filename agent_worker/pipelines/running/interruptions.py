"""What ends a block's run without being a failure of the block, so that no policy of a step answers it."""

from __future__ import annotations

from agent_worker.domain.errors import Cancelled, LeaseLost, Postponed, ProviderPaused
from agent_worker.domain.replay import Parked
from agent_worker.pipelines.running.usage import LimitExceeded

PAUSES = (Parked, LeaseLost, Postponed, ProviderPaused)
"""The block goes on in another attempt, or elsewhere: what is open stays open."""

UNANSWERED = (ProviderPaused, Postponed, Cancelled, LimitExceeded)
"""Errors that go past every `retry`, `onError` and tolerance, and that no model is told of."""
