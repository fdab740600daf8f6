"""How an attempt ended, as one closed set of values.

The executor turns whatever a processor did into one `Outcome` in a single `match`; the recorder writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from agent_worker.domain.replay import Question


@dataclass(frozen=True, slots=True)
class Completed:
    """The processor returned its answer; `response` is a JSON object as text, checked and ready to be stored."""

    response: str


@dataclass(frozen=True, slots=True)
class Failed:
    """No further attempt will be made.

    `response_payload` becomes `{"error": message, "code": code, "retryable": retryable}`, where `retryable`
    tells the client whether asking again later could help (attempts ran out) or not (the request is wrong).
    """

    message: str
    code: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed; another one starts after `delay_s` seconds."""

    message: str
    code: str
    delay_s: float


@dataclass(frozen=True, slots=True)
class Cancel:
    """Somebody asked for the task to stop, and it did."""

    message: str


@dataclass(frozen=True, slots=True)
class Park:
    """The task waits for an answer; it holds no worker and the attempt is not used up."""

    question: Question


@dataclass(frozen=True, slots=True)
class Release:
    """The task goes back to pending and the attempt is not used up.

    Attributes:
        delay_s: Seconds until it is due again.
        message: Why it is postponed; empty when the worker shuts down.
        code: The same as a name.
    """

    delay_s: float = 0.0
    message: str = ""
    code: str = ""


Outcome: TypeAlias = Completed | Failed | Retry | Cancel | Park | Release
