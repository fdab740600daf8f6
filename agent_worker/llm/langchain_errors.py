"""Recognise what a provider's SDK raised through LangChain.

The SDKs share no base class, and each may or may not be installed, so they are told by what they share: an HTTP status
somewhere on the exception, and the class names that code generators and HTTP libraries have made common. Newer
LangChain integrations raise `ModelError`s, which say the same in their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from agent_worker.domain.errors import ProcessorError
from agent_worker.llm import upstream

_STATUS_BY_NAME: Mapping[str, int] = MappingProxyType(
    {
        "ModelAuthenticationError": 401,
        "ModelPermissionDeniedError": 403,
        "ModelNotFoundError": 404,
        "ModelRateLimitError": 429,
        "ModelInvalidRequestError": 400,
        "ContextOverflowError": 400,
        "ModelAPIError": 500,
    }
)
_SILENT = frozenset({"TimeoutError", "TimeoutException", "APITimeoutError", "ModelTimeoutError"})
_UNREACHABLE = frozenset({"ConnectionError", "TransportError", "APIConnectionError", "ModelConnectionError"})
_BROKEN = frozenset({"APIError", "ModelError"})


def translate(provider: str, error: Exception) -> ProcessorError | None:
    """Return our error for a provider's refusal or failure, or None when `error` is something else (a bug)."""
    chain = list(_chain(error))
    for link in chain:
        if (status := _status(link)) is not None:
            retry_after_s = upstream.parse_retry_after(_headers(link), now=datetime.now(UTC))
            return upstream.refused(provider, status, code=_code(link), retry_after_s=retry_after_s)
    names = {kind.__name__ for link in chain for kind in type(link).__mro__}
    for name in _STATUS_BY_NAME.keys() & names:
        return upstream.refused(provider, _STATUS_BY_NAME[name])
    if names & _SILENT:
        return upstream.silent(provider)
    if names & _UNREACHABLE:
        return upstream.unreachable(provider)
    return upstream.broken(provider) if names & _BROKEN else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def _status(error: BaseException) -> int | None:
    """Find an HTTP status: openai and anthropic say `status_code`, google `code`, httpx and botocore `response`."""
    response = getattr(error, "response", None)
    candidates = [
        getattr(error, "status_code", None),
        getattr(error, "code", None),
        getattr(response, "status_code", None),
    ]
    if isinstance(response, Mapping) and isinstance(metadata := response.get("ResponseMetadata"), Mapping):
        candidates.append(metadata.get("HTTPStatusCode"))
    statuses = (c for c in candidates if isinstance(c, int) and 400 <= c <= 599)  # noqa: PLR2004 - HTTP's range
    return next(statuses, None)


def _headers(error: BaseException) -> Mapping[str, str]:
    headers = getattr(getattr(error, "response", None), "headers", None)
    return headers if isinstance(headers, Mapping) else {}


def _code(error: BaseException) -> str | None:
    code = getattr(error, "code", None)
    return code if isinstance(code, str) else None
