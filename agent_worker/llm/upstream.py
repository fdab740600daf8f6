"""From a provider's refusal to one of our errors, in one place for every provider.

Messages are made here, never copied: a provider's own text may quote the key or the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from agent_worker.domain.errors import ProcessorError, UpstreamError

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_QUOTA = "insufficient_quota"


def refused(
    provider: str, status: int, *, code: str | None = None, retry_after_s: float | None = None
) -> ProcessorError:
    """Make the error for an HTTP status of 400 and up.

    Args:
        provider: As in a model id.
        status: The HTTP status.
        code: The provider's own name for the refusal; repeated only when it looks like a name.
        retry_after_s: What the provider asked for, in seconds.

    Returns:
        An `UpstreamError`; or, for an account without credit, which OpenAI reports as 429 although waiting does not
        help, a permanent error with code `quota_exceeded`.
    """
    if code == _QUOTA:
        return ProcessorError(
            f"The {provider} account has no credit left.", code="quota_exceeded", retryable=False
        )
    named = f"HTTP {status}, {code}" if code is not None and _CODE.fullmatch(code) else f"HTTP {status}"
    return UpstreamError(
        f"{_sentence(provider, status)} ({named}).",
        provider=provider,
        status=status,
        retry_after_s=retry_after_s,
    )


def unreachable(provider: str) -> UpstreamError:
    """Make the error for a connection that could not be made, or broke before the answer was complete."""
    return UpstreamError(
        f"The connection to {provider} could not be made, or broke before the answer was complete.",
        provider=provider,
    )


def silent(provider: str) -> UpstreamError:
    """Make the error for a provider that accepted the request and then said nothing for too long."""
    return UpstreamError(f"{provider} did not answer in time.", provider=provider)


def cut(provider: str) -> UpstreamError:
    """Make the error for a stream that ended without saying why: the answer may lack its second half."""
    return UpstreamError(f"{provider} cut the answer before its end.", provider=provider)


def broken(provider: str) -> UpstreamError:
    """Make the error for a provider that broke off, or sent something that is not its protocol."""
    return UpstreamError(f"{provider} failed in the middle of the answer.", provider=provider)


def parse_retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Read how long to wait, in seconds, from `retry-after-ms` (OpenAI's own) or `Retry-After` (RFC 9110, 10.2.3).

    Args:
        headers: Response headers; a mapping that ignores case, or one in lower case.
        now: The current time with time zone, for the form that is a date.
    """
    if (wait_ms := _number(headers.get("retry-after-ms"))) is not None:
        return wait_ms / 1000
    if (value := headers.get("retry-after")) is None:
        return None
    if (wait_s := _number(value)) is not None:
        return wait_s
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    date = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max((date - now).total_seconds(), 0.0)


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < float("inf") else None


def _sentence(provider: str, status: int) -> str:
    match status:
        case 401 | 403:
            return f"{provider} refused the credentials; check the API key"
        case 404:
            return f"{provider} does not know this model or address"
        case 408:
            return f"{provider} did not answer in time"
        case 429:
            return f"{provider} asks to slow down"
        case _ if status >= 500:  # noqa: PLR2004 - HTTP's own number
            return f"{provider} failed"
        case _:
            return f"{provider} refused the request"
