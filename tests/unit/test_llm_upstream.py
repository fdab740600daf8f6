"""How long a provider asks to wait, and what is said about its refusals."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent_worker.domain.errors import ProcessorError, UpstreamError
from agent_worker.llm import upstream

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 -0000"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_retry_after_in_every_form(headers: dict[str, str], wait_s: float | None) -> None:
    assert upstream.parse_retry_after(headers, now=NOW) == wait_s


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (400, "acme refused the request (HTTP 400)."),
        (401, "acme refused the credentials; check the API key (HTTP 401)."),
        (403, "acme refused the credentials; check the API key (HTTP 403)."),
        (404, "acme does not know this model or address (HTTP 404)."),
        (408, "acme did not answer in time (HTTP 408)."),
        (429, "acme asks to slow down (HTTP 429)."),
        (502, "acme failed (HTTP 502)."),
    ],
)
def test_refusals_are_plain_sentences(status: int, sentence: str) -> None:
    assert str(upstream.refused("acme", status)) == sentence


@pytest.mark.parametrize("code", ["sk-live-123", "Bad key: sk-live-123", "", "X" * 100])
def test_a_code_that_is_no_name_is_not_repeated(code: str) -> None:
    assert str(upstream.refused("acme", 400, code=code)) == "acme refused the request (HTTP 400)."


def test_an_empty_account_is_permanent_although_its_status_is_429() -> None:
    error = upstream.refused("openai", 429, code="insufficient_quota")

    assert isinstance(error, ProcessorError)
    assert (error.code, error.retryable) == ("quota_exceeded", False)


@pytest.mark.parametrize("make", [upstream.unreachable, upstream.silent, upstream.cut, upstream.broken])
def test_missing_answers_are_transient_and_have_no_status(make: type[UpstreamError]) -> None:
    error = make("acme")  # type: ignore[call-arg]

    assert (error.status, error.retryable, error.provider) == (None, True, "acme")
