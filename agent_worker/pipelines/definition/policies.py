"""What happens when a step fails, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from agent_worker.domain.json import JsonValue

ErrorType: TypeAlias = Literal[
    "authentication_error",
    "permission_error",
    "validation_error",
    "not_found_error",
    "rate_limit_error",
    "quota_exceeded_error",
    "provider_error",
    "provider_overloaded",
    "provider_timeout",
    "execution_error",
    "tool_error",
    "protocol_error",
    "internal_error",
    "unknown_error",
]
ERROR_TYPES: tuple[ErrorType, ...] = get_args(ErrorType)
"""The `errorType` of error events."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How a failed step is tried again.

    Attributes:
        attempts: How often it runs at most, the first time included.
        delay_s: Wait before the second attempt.
        backoff: Each further wait is so many times the one before.
        max_s: Longest wait.
        errors: Only after these; empty means after every error that is marked as retryable.
    """

    attempts: int = 3
    delay_s: float = 1.0
    backoff: float = 2.0
    max_s: float = 60.0
    errors: tuple[ErrorType, ...] = ()

    def wait_s(self, attempt: int) -> float:
        """Return the wait after the attempt of this number, from 1, without jitter."""
        # A power can leave what a float holds; from there on the bound decides anyway.
        steps = min(attempt - 1, 100)
        return min(self.delay_s * self.backoff**steps, self.max_s)


@dataclass(frozen=True, slots=True)
class Fail:
    """The run fails."""


@dataclass(frozen=True, slots=True)
class Continue:
    """The next step runs; the step's output stays as it was."""


@dataclass(frozen=True, slots=True)
class Goto:
    """A later step of the same list runs next."""

    step: str


@dataclass(frozen=True, slots=True)
class UseDefault:
    """The step's output gets this value, and the next step runs."""

    value: JsonValue


OnError: TypeAlias = Fail | Continue | Goto | UseDefault
FAIL = Fail()
