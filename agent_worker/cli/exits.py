"""One place where errors become messages and exit codes."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator

import typer

from agent_worker.domain.client_errors import QuestionClosed, TaskFailed, WaitTimeout
from agent_worker.domain.errors import AgentWorkerError, DatabaseUnavailable, SchemaOutOfDate

TASK_FAILED = 1
USAGE = 2
DATABASE = 3
INTERRUPTED = 128 + 2
PIPE_CLOSED = 128 + 13

PROGRAM = "agent-worker"

_SEPARATOR = " · "


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """End the program as its errors say: told in what happened, why and what to do; never with a traceback.

    An error that nobody expected passes through, with its traceback.
    """
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read us has seen enough. The interpreter flushes once more at its end: into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(PIPE_CLOSED) from None
    except AgentWorkerError as error:
        tell("error", _message(error))
        raise typer.Exit(exit_code(error)) from None


def exit_code(error: AgentWorkerError) -> int:
    """Return the exit code that an error stands for."""
    match error:
        case DatabaseUnavailable() | SchemaOutOfDate():
            return DATABASE
        case TaskFailed() | WaitTimeout() | QuestionClosed():
            return TASK_FAILED
        case _:
            return USAGE


def _message(error: AgentWorkerError) -> str:
    if isinstance(error, TaskFailed):
        result = error.result
        return f"the task {result.status} · {error.code}: {error} · look: {PROGRAM} tasks show {str(result.id)[:8]}"
    return str(error)


def tell(label: str, message: str) -> None:
    """Write a message to standard error: a line for each of its parts on a terminal, one line elsewhere."""
    if not sys.stderr.isatty():
        print(f"{label}: {message}", file=sys.stderr)
        return
    first, *rest = message.split(_SEPARATOR)
    width = min(shutil.get_terminal_size().columns, 100)
    indent = " " * (len(label) + 2)
    print(textwrap.fill(f"{label}: {first}", width, subsequent_indent=indent), file=sys.stderr)
    for part in rest:
        text = textwrap.fill(
            part, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False
        )
        print(text, file=sys.stderr)
