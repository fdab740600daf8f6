"""From what OpenAI's client raises to one of our errors."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agent_worker.domain.errors import ProcessorError
from agent_worker.llm import upstream

if TYPE_CHECKING:
    import openai


def translate(provider: str, error: openai.APIError | json.JSONDecodeError) -> ProcessorError:
    """Return the error to raise: an `UpstreamError`, or `quota_exceeded` for an account without credit."""
    import openai  # noqa: PLC0415 - whoever raised it has imported it

    match error:
        case openai.APIStatusError():
            retry_after_s = upstream.parse_retry_after(error.response.headers, now=datetime.now(UTC))
            code = error.code or error.type
            return upstream.refused(provider, error.status_code, code=code, retry_after_s=retry_after_s)
        case openai.APITimeoutError():
            return upstream.silent(provider)
        case openai.APIConnectionError():
            return upstream.unreachable(provider)
        case _:  # an error event, or no JSON at all
            return upstream.broken(provider)
