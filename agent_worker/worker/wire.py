"""What a worker and the processes of its pool say to each other over a socket pair.

A frame is one letter, the length of its body in four bytes, and the body. The worker sends pickles: both ends are the
same code. What comes back is JSON, for a process that runs anybody's libraries must not make the worker run code.
"""

from __future__ import annotations

import json
import math
import pickle
import struct
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent_worker.domain.errors import AgentWorkerError
from agent_worker.domain.json import JsonObject, JsonValue, dump_json
from agent_worker.domain.replay import Parked, Question
from agent_worker.domain.task import Task

HEAD = struct.Struct(">cI")

FAREWELL_S = 1.0
"""Longest that a process without work takes to leave; libraries may clean up meanwhile."""

MESSAGE = b"m"
"""From the worker: a pickled `Setup`, `Job`, `Stop` or `Reply`."""
CALL = b"c"
"""From the process: `{job, call, name, arguments, step}`, a call of the task's context; answered by a `Reply`."""
COMPLETED = b"r"
"""From the process, as the next two are the last of a job: the response as JSON text, checked."""
FAILED = b"f"
"""The response cannot be stored: `{message, code, retryable}`."""
RAISED = b"e"
"""The processor raised something; see `describe`."""


@dataclass(frozen=True, slots=True)
class Setup:
    """First message. Pickled functions, so that what fails to load fails where it can be told.

    Attributes:
        prepare: Called once, before anything else.
        builders: By kind, make the processor.
    """

    prepare: bytes
    builders: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Job:
    """Run one attempt.

    Attributes:
        number: Counts the jobs of this process; calls name it.
        task: What to run.
        deadline: On the clock of `time.monotonic()`, which Linux and macOS share among the processes of a machine.
    """

    number: int
    task: Task
    deadline: float


@dataclass(frozen=True, slots=True)
class Stop:
    """The job under way no longer counts; the process is killed soon."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer to a call: a value, an error (see `describe`), or the question that the attempt now ends with."""

    call: int
    value: JsonValue = None
    error: JsonObject | None = None
    question: Question | None = None


def frame(letter: bytes, body: bytes) -> bytes:
    """Return a frame as it is sent."""
    return HEAD.pack(letter, len(body)) + body


def message(content: Setup | Job | Stop | Reply) -> bytes:
    """Return a message of the worker as a frame."""
    return frame(MESSAGE, pickle.dumps(content))


class RemoteError(Exception):
    """Something raised in another process that has no class of ours. Its traceback is a note."""


def describe(error: BaseException) -> JsonObject:
    """Return an exception as JSON.

    Errors of ours keep their class (or the nearest of ours above it) and their plain attributes. Of others remain
    name, message and traceback, so nothing about them has to be picklable.
    """
    ours = next((cls.__name__ for cls in type(error).__mro__ if cls in _known().values()), None)
    return {
        "class": ours,
        "name": type(error).__name__,
        "module": type(error).__module__,
        "message": _text(error),
        "facts": {name: value for name, value in vars(error).items() if _is_plain(value)},
        "traceback": "" if ours else "".join(traceback.format_exception(error)),
    }


def restore(described: JsonObject) -> AgentWorkerError | RemoteError:
    """Return the exception that `describe` described, or a `RemoteError` of the same name."""
    cls = _known().get(str(described["class"]))
    if cls is None:
        named = type(str(described["name"]), (RemoteError,), {"__module__": str(described["module"])})
        error: RemoteError = named(described["message"])
        error.add_note(str(described["traceback"]))
        return error
    # Not by its __init__, which would make a sentence out of a sentence.
    known = cls.__new__(cls, described["message"])
    vars(known).update(described["facts"])  # type: ignore[arg-type]  # written above: an object
    return known


def encode(value: JsonValue) -> bytes:
    """Return the body of a frame from a process.

    Raises:
        ValueError, TypeError: As `dump_json`.
    """
    return dump_json(value).encode("ascii")


def decode(body: bytes) -> dict[str, Any]:
    """Return the object in a frame from a process."""
    value: dict[str, Any] = json.loads(body)
    return value


def question_key(described: JsonObject) -> str | None:
    """Return the key of the question that an attempt ended with, or None when it ended otherwise."""
    return str(described["message"]) if described["name"] == Parked.__name__ else None


def _known() -> dict[str, type[AgentWorkerError]]:
    """Return our own errors by name; a plug-in's subclasses exist on one side only."""
    return {
        cls.__name__: cls for cls in _tree(AgentWorkerError) if cls.__module__.startswith("agent_worker.")
    }


def _tree(cls: type[AgentWorkerError]) -> Iterator[type[AgentWorkerError]]:
    yield cls
    for below in cls.__subclasses__():
        yield from _tree(below)


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a faulty __str__ of anybody's must not hide that there was an error
        return ""
