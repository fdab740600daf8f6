"""Logs: pretty on a terminal, one JSON object a line elsewhere."""

from __future__ import annotations

import enum
import logging
import sys
import time

import structlog

from agent_worker.domain.outcome import Cancel, Completed, Failed, Outcome, Park, Release, Retry
from agent_worker.domain.task import Task

logger = structlog.get_logger("agent_worker.tasks")

LINES_PER_S = 10
"""A calm worker tells each task; a busy one counts them, for no person reads thousands of lines a second."""


class LogFormat(enum.StrEnum):
    """How log lines look."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


def configure_logging(*, level: str = "info", log_format: LogFormat = LogFormat.AUTO) -> None:
    """Send structlog and the standard library's logging to standard error in one format.

    Args:
        level: debug, info, warning or error.
        log_format: AUTO is CONSOLE on a terminal and JSON elsewhere.
    """
    is_console = log_format is LogFormat.CONSOLE or (log_format is LogFormat.AUTO and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if is_console else "iso", utc=not is_console),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24)]
        if is_console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
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
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("agent_worker").setLevel(number)


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
