"""When a failed attempt is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_worker.domain.backoff import Backoff, after_failure
from agent_worker.domain.errors import InvalidPayload, ProcessorError, ProviderPaused, UpstreamError
from agent_worker.domain.outcome import Failed, Release, Retry


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_delay_never_exceeds_its_ceiling(attempt: int, roll: float) -> None:
    backoff = Backoff(base_s=1, max_s=300)
    assert 0 <= backoff.delay_s(attempt, roll=roll) <= min(2.0 ** min(attempt - 1, 32), 300)


def test_a_retryable_error_is_repeated_while_attempts_are_left() -> None:
    error = ProcessorError("Busy.", code="busy")
    match after_failure(error, attempt=1, max_attempts=3, backoff=Backoff(base_s=4), roll=0.5):
        case Retry(delay_s=delay_s, code="busy"):
            assert delay_s == 2.0
        case other:
            pytest.fail(f"{other}")


def test_the_last_attempt_fails_and_says_that_asking_again_could_help() -> None:
    outcome = after_failure(ProcessorError("Busy."), attempt=3, max_attempts=3, backoff=Backoff(), roll=0)
    assert isinstance(outcome, Failed)
    assert outcome.retryable


def test_a_permanent_error_fails_at_once() -> None:
    error = InvalidPayload("must be a string", path="$.prompt")
    outcome = after_failure(error, attempt=1, max_attempts=25, backoff=Backoff(), roll=0)
    assert outcome == Failed("$.prompt must be a string", code="invalid_payload", retryable=False)


def test_retry_after_is_a_floor() -> None:
    error = UpstreamError("Slow down.", provider="openai", status=429, retry_after_s=30)
    outcome = after_failure(error, attempt=1, max_attempts=2, backoff=Backoff(base_s=1), roll=0.25)
    assert outcome == Retry("Slow down.", code="rate_limited", delay_s=30.25)


@pytest.mark.parametrize(("asked_s", "delay_s"), [(30.5, 30.5), (0.0, 1.0), (1e12, 86_400.0)])
def test_a_paused_provider_postpones_even_the_last_attempt(asked_s: float, delay_s: float) -> None:
    error = ProviderPaused("Later.", provider="openai", retry_after_s=asked_s)
    outcome = after_failure(error, attempt=3, max_attempts=3, backoff=Backoff(), roll=0.9)
    assert outcome == Release(delay_s, message="Later.", code="provider_paused")


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (None, True),
        (400, False),
        (401, False),
        (404, False),
        (408, True),
        (409, True),
        (422, False),
        (429, True),
        (500, True),
        (503, True),
    ],
)
def test_only_some_http_answers_may_differ_next_time(status: int | None, *, retryable: bool) -> None:
    assert UpstreamError("x", provider="openai", status=status).retryable is retryable
