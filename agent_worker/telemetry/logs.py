"""Logs: pretty on a terminal, one JSON object a line elsewhere."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import textwrap
import time
from types import MappingProxyType
from typing import Literal, TypeAlias

import structlog

from agent_worker.domain.outcome import Cancel, Completed, Failed, Outcome, Park, Release, Retry
from agent_worker.domain.task import Task

logger = structlog.get_logger("agent_worker.tasks")

_NAME_WIDTH = 17
_UUID_LENGTH = 36
_COLOURS = MappingProxyType({"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"})

LINES_PER_S = 10
"""A calm worker tells each task; a busy one counts them, for no person reads thousands of lines a second."""


LogFormat: TypeAlias = Literal["auto", "console", "json"]
"""How log lines look; auto is console on a terminal and json elsewhere."""


def configure_logging(*, level: str = "info", log_format: LogFormat = "auto") -> None:
    """Send structlog and the standard library's logging to standard error in one format.

    Args:
        level: debug, info, warning or error.
        log_format: See `LogFormat`.
    """
    is_console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if is_console else "iso", utc=not is_console),
    ]
    last: structlog.typing.Processor = (
        ConsoleLines(colours=_wants_colours()) if is_console else structlog.processors.JSONRenderer()
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared[:2],
            shared[3],
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                last,
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("agent_worker").setLevel(number)


def task_logger(task: Task) -> logging.LoggerAdapter[logging.Logger]:
    """Return a processor's logger: a standard one, whose records carry task_id, kind and attempt."""
    return logging.LoggerAdapter(logging.getLogger(f"agent_worker.task.{task.kind}"), _facts(task))


def _wants_colours() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


class ConsoleLines:
    """Writes an event for a person: time, name, and the facts in lines that fit the terminal.

    Ids are cut to the digits that `agent-worker tasks show` needs, and the worker's own name is left out.

    Args:
        colours: Whether warnings and errors stand out in colour.
    """

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, _logger: object, _method: str, event: structlog.typing.EventDict) -> str:
        """Return the lines of one event."""
        stamp, name, level = event.pop("timestamp"), event.pop("event"), event.pop("level", "info")
        traceback = event.pop("exception", None)
        event.pop("worker", None)
        facts = " ".join(f"{key}={_plain(key, value)}" for key, value in event.items())
        head = f"{stamp} {name:<{_NAME_WIDTH}} "
        lines = textwrap.wrap(
            facts,
            max(shutil.get_terminal_size().columns - len(stamp) - _NAME_WIDTH - 2, _NAME_WIDTH),
            break_long_words=False,
            break_on_hyphens=False,
        )
        text = f"\n{' ' * len(head)}".join(lines)
        if self._colours:
            head = f"\x1b[2m{stamp}\x1b[0m {_COLOURS.get(level, '')}{name:<{_NAME_WIDTH}}\x1b[0m "
        written = f"{head}{text}".rstrip()
        return f"{written}\n{traceback}" if traceback else written


def _plain(key: str, value: object) -> str:
    if key.endswith("_id") and len(str(value)) == _UUID_LENGTH:
        return str(value)[:8]
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


class TaskLog:
    """Tells each task's claim and end at level info, at most `LINES_PER_S` lines a second.

    What is left out is counted and told as `tasks.summarized` with the next line that fits.
    """

    def __init__(self) -> None:
        self._second = 0
        self._lines = 0
        self._left_out = 0

    def claimed(self, task: Task) -> None:
        """Tell that a task was found."""
        if self._has_room():
            logger.info("task.claimed", **_facts(task), waited_ms=round(task.waited_s * 1000))

    def ended(self, task: Task, outcome: Outcome | None, *, ran_s: float) -> None:
        """Tell how an attempt ended; None means that the task had moved on."""
        if not self._has_room():
            return
        facts = {**_facts(task), "ran_ms": round(ran_s * 1000)}
        match outcome:
            case Completed():
                logger.info("task.completed", **facts)
            case Failed(code=code, message=message):
                logger.warning("task.failed", **facts, code=code, error=message)
            case Retry(code=code, message=message, delay_s=delay_s):
                logger.warning(
                    "task.retried", **facts, code=code, error=message, retry_in_s=round(delay_s, 2)
                )
            case Cancel():
                logger.info("task.cancelled", **facts)
            case Park(question):
                logger.info("task.parked", **facts, waits_for=question.call.value)
            case Release(delay_s, message, code) if delay_s:
                logger.info("task.postponed", **facts, code=code, error=message, retry_in_s=round(delay_s, 2))
            case Release():
                logger.info("task.released", **facts)
            case None:
                pass

    def _has_room(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            if self._left_out:
                logger.info("tasks.summarized", lines_left_out=self._left_out)
            self._second, self._lines, self._left_out = second, 0, 0
        self._lines += 1
        if self._lines > LINES_PER_S:
            self._left_out += 1
            return False
        return True


def _facts(task: Task) -> dict[str, str | int]:
    return {"task_id": str(task.id), "kind": task.kind, "attempt": task.attempt}
