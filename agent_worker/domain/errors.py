"""Every error this package raises on purpose, as one tree.

```
AgentWorkerError
├── ConfigurationError        a setting is missing or wrong; names it and the fix     exit code 2
├── DatabaseUnavailable       nobody answers, or the connection broke                 exit code 3
├── SchemaOutOfDate           tables older or newer than the code; names the command  exit code 3
├── ValueRefused              PostgreSQL does not take a value of one task
├── TaskRefused, TaskNotFound, QuestionClosed, ResultsRefused, TaskFailed, WaitTimeout  see client_errors
├── GatewayError              a request is refused; `status`, `code`, `details`, `hint`
├── LeaseLost                 the task moved on: this worker's writes no longer count
└── ProcessorError            an attempt failed: `code`, `retryable`
    ├── InvalidPayload        the request cannot be processed; names the JSON path
    ├── UnknownProcessor      no processor of that kind
    ├── UnknownDefinition     no stored definition of that name; see definitions
    ├── UpstreamError         a model provider or tool refused or broke
    │   └── ProviderPaused    it is overloaded, so nobody asks it for a while
    ├── Postponed             the task goes on later, by its own wish
    ├── Unstorable            a value of the task does not fit the database
    └── Cancelled             somebody asked for the task to stop
```

`str(error)` is a sentence for the person who reads it. It never holds a secret, SQL or a traceback.
"""

from __future__ import annotations

from collections.abc import Mapping

PROVIDER_PAUSED = "provider_paused"
"""Code of an attempt that was postponed and not used up; never of a task's end."""

POSTPONED = "postponed"
"""Code of an attempt that ended because the task wants to go on later; never of a task's end."""


class AgentWorkerError(Exception):
    """Root of the tree: catch it to catch everything this package raises on purpose."""


class ConfigurationError(AgentWorkerError):
    """A setting is missing or wrong. The message names the setting and the fix."""


class DatabaseUnavailable(AgentWorkerError):
    """PostgreSQL cannot be reached, or the connection broke in the middle of a call.

    Transient by nature: workers back off and come back; a command line tells the person and ends.
    """


class SchemaOutOfDate(AgentWorkerError):
    """The tables are older or newer than this release. The message names the command that mends it."""


class ValueRefused(AgentWorkerError):
    """PostgreSQL does not take a value: it breaks a rule of a table, or is no value of the column's type.

    It belongs to one task of a batch, so writing the same batch again would not help.

    Args:
        message: PostgreSQL's own words.
        sqlstate: Its code, such as `23514`; empty when it never came so far.
    """

    def __init__(self, message: str, *, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class GatewayError(AgentWorkerError):
    """A request is refused, in the words and with the code that its protocol documents.

    Args:
        message: One sentence; the body's `message`.
        status: HTTP status.
        code: Stable name, such as PostgREST's `PGRST116` or GoTrue's `invalid_credentials`.
        details: More about this case, for the body.
        hint: What to do next, for the body.
        headers: HTTP headers that belong to it, such as `WWW-Authenticate` or `Retry-After`.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        details: str | None = None,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details
        self.hint = hint
        self.headers = dict(headers or {})


class LeaseLost(AgentWorkerError):
    """The task has moved on (rescued, cancelled, released): nothing this attempt writes counts any more."""


class ProcessorError(AgentWorkerError):
    """An attempt failed in a way that the processor can name.

    Raise it from a processor to decide what happens next.

    Args:
        message: One plain sentence; it is stored in `response_payload.error`.
        code: Stable snake_case name that clients may branch on; stored in `response_payload.code`.
        retryable: Whether another attempt could end differently.
        retry_after_s: Shortest useful wait before the next attempt, in seconds, when somebody told us.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "processor_error",
        retryable: bool = True,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class InvalidPayload(ProcessorError):
    """The request cannot be processed as it stands; trying again would not help.

    Args:
        problem: What is wrong, as the rest of a sentence that begins with the path.
        path: JSON path of the culprit, such as `$.messages[0].role`.
    """

    def __init__(self, problem: str, *, path: str = "$") -> None:
        super().__init__(f"{path} {problem}", code="invalid_payload", retryable=False)
        self.path = path


class UnknownProcessor(ProcessorError):
    """No processor of this kind is installed here."""

    def __init__(self, kind: str, *, known: tuple[str, ...]) -> None:
        super().__init__(
            f"No processor handles the kind {kind!r}. Known kinds: {', '.join(known) or 'none'}.",
            code="unknown_kind",
            retryable=False,
        )


class UpstreamError(ProcessorError):
    """A model provider or a tool refused or broke.

    Args:
        message: What happened, in one sentence, without the provider's raw body.
        provider: Short name as in a model id: `openai`, `local`, `anthropic`.
        status: HTTP status, or None when no answer came (timeout, connection refused, cut stream).
        retry_after_s: What the provider asked for, in seconds.
        code: Name for clients; None derives it from the status.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        status: int | None = None,
        retry_after_s: float | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(
            message,
            code=upstream_code(status) if code is None else code,
            retryable=is_transient_status(status),
            retry_after_s=retry_after_s,
        )
        self.provider = provider
        self.status = status


class ProviderPaused(UpstreamError):
    """A provider is overloaded, so it is left alone for a while.

    The attempt ends at once and is not used up; the task comes back after `retry_after_s` seconds, however often.

    Args:
        message: What is paused and why, in one sentence.
        provider: Short name as in a model id.
        retry_after_s: When to come back, 1 second to a day; taken as it is, so spread it when many tasks wait.
    """

    def __init__(self, message: str, *, provider: str, retry_after_s: float) -> None:
        super().__init__(message, provider=provider, retry_after_s=retry_after_s, code=PROVIDER_PAUSED)


class Postponed(ProcessorError):
    """The task has nothing to do for a while: the attempt ends and is not used up.

    Args:
        message: What it waits for, in one sentence.
        retry_after_s: When to come back, 1 second to a day; a longer wait is asked for again.
    """

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message, code=POSTPONED, retry_after_s=retry_after_s)


class Unstorable(ProcessorError):
    """PostgreSQL refused a value of this task, so it has to end without it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The task produced a value that the database cannot store: {what}.",
            code="unstorable_result",
            retryable=False,
        )


class Cancelled(ProcessorError):
    """Somebody asked for the task to stop; it ends as `cancelled`."""

    def __init__(self, message: str = "The task was cancelled.") -> None:
        super().__init__(message, code="cancelled", retryable=False)


def is_transient_status(status: int | None) -> bool:
    """Tell whether an HTTP answer may differ next time: 408, 409, 429, any 5xx, or no answer at all."""
    return status is None or status in {408, 409, 429} or status >= 500  # noqa: PLR2004 - HTTP's own numbers


def upstream_code(status: int | None) -> str:
    """Name a provider's refusal for clients: `rate_limited`, `upstream_unauthorized` and so on."""
    match status:
        case None:
            return "upstream_unreachable"
        case 429:
            return "rate_limited"
        case 401 | 403:
            return "upstream_unauthorized"
        case 404:
            return "model_not_found"
        case 408:
            return "upstream_timeout"
        case _:
            return "upstream_error" if status >= 500 else "upstream_refused"  # noqa: PLR2004
