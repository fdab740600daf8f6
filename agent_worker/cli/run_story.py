"""Tell a run of a pipeline: on a terminal as it happens, elsewhere step by step, to programs as events."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from agent_worker.cli.run_view import View, is_repeated, result_text, tail
from agent_worker.cli.screen import WIDTH, one_line, print_json_line, state
from agent_worker.cli.timeline import precise
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.records import TaskEvent, TaskResult
from agent_worker.domain.task import TaskStatus
from agent_worker.pipelines.telling.legs import Legs
from agent_worker.pipelines.telling.taken import Remark, Taken
from agent_worker.pipelines.telling.tree import RunTree

_FEW_LINES = 2
"""Of each text, where several steps run at once and not all of it fits."""


class Teller(Protocol):
    """Tells a run to somebody."""

    def hear(self, event: TaskEvent) -> None:
        """Take in the next event."""
        ...

    def tick(self) -> None:
        """Let time pass."""
        ...

    def pause(self) -> None:
        """Leave the terminal to somebody else, who is asked something."""
        ...

    def resume(self) -> None:
        """Go on after a pause."""
        ...

    def end(self, result: TaskResult) -> None:
        """Say what the run came to, or how it stands."""
        ...


class JsonLines:
    """Prints the protocol's events as browsers get them, each as one line of JSON.

    Args:
        task_id: The run's.
    """

    def __init__(self, task_id: UUID) -> None:
        self._legs = Legs(str(task_id), "browser")

    def hear(self, event: TaskEvent) -> None:
        """Print what it is in the protocol."""
        for told in self._legs.feed(event):
            print_json_line(told)

    def tick(self) -> None:
        """Nothing to do."""

    def pause(self) -> None:
        """Nothing to do."""

    def resume(self) -> None:
        """Nothing to do."""

    def end(self, result: TaskResult) -> None:
        """Print what the engine has not said of a run that it ended."""
        if result.status.is_final:
            for told in self._legs.end(result.status, result.response):
                print_json_line(told)


class Story:
    """Prints each step when it has ended; on a terminal what runs now is shown below, and changes in place.

    The result is the only thing that goes to standard output when that is no terminal; the story then goes to standard
    error.

    Args:
        screen: Where the steps are told.
        task_id: The run's.
        is_live: Whether `tick` will be called, so that what runs now can be shown.
    """

    def __init__(self, screen: Console, task_id: UUID, *, is_live: bool) -> None:
        self._screen = screen
        self._task_id = task_id
        self._tree = RunTree()
        self._view = View(screen, datetime.now(UTC))
        self._told: set[str] = set()
        self._has_begun = False
        self._is_live = is_live and screen.is_terminal
        self._live: Live | None = None

    def hear(self, event: TaskEvent) -> None:
        """Print what is over by now."""
        self._tree.feed(event)
        if self._tree.slug and not self._has_begun:
            self._begin()
        self._print(self._tree.settled(), for_good=True)

    def tick(self) -> None:
        """Show what runs now."""
        if self._is_live and self._has_begun:
            if self._live is None:
                self._live = Live(console=self._screen, auto_refresh=False, transient=True)
                self._live.start()
            self._live.update(Group(*self._now()), refresh=True)

    def pause(self) -> None:
        """Print what is known, so that it stands above the question."""
        self._stop()
        self._view.is_asking = True
        self._print(self._tree.entries, for_good=False)
        self._view.is_asking = False

    def resume(self) -> None:
        """Go on; the next tick shows what runs."""

    def end(self, result: TaskResult) -> None:
        """Print the rest, how the run ended, and its result."""
        self._stop()
        self._view.now = result.finished_at or datetime.now(UTC)
        self._view.ended = result.status if result.status.is_final else None
        self._print(self._tree.entries, for_good=False)
        if self._has_begun:
            self._screen.print()
        self._screen.print(_ending(result, self._view.now))
        if result.status is TaskStatus.COMPLETED and "output" in result.response:
            self._give(result.response["output"])
        sys.stdout.flush()

    def _begin(self) -> None:
        self._has_begun = True
        head = Text.assemble((one_line(self._tree.slug), "bold"), ("  " + str(self._task_id)[:8], "dim"))
        self._screen.print(head)
        if self._tree.description:
            self._screen.print(Text(one_line(self._tree.description), style="dim"))
        self._screen.print()

    def _now(self) -> list[Text]:
        """Return what runs now: all of it if there is room, else the ends of its texts."""
        height = max(self._screen.height - 1, 3)
        view = View(self._screen, datetime.now(UTC), is_live=True, shown=self._view.shown)
        rest = [entry for entry in self._tree.entries if _key(entry) not in self._told]
        lines = [line for entry in rest for line in view.lines(entry)]
        if len(lines) <= height:
            return lines
        view.most_text = _FEW_LINES
        return tail([line for entry in rest for line in view.lines(entry)], height)

    def _print(self, entries: Iterable[Taken | Remark], *, for_good: bool) -> None:
        for entry in entries:
            if _key(entry) in self._told:
                continue
            for block in self._view.blocks(entry):
                self._view.shown.add(block.key)
                for line in block.lines:
                    line.rstrip()
                    self._screen.print(line, crop=False, soft_wrap=True)
            if for_good:
                self._told.add(_key(entry))

    def _give(self, output: JsonValue) -> None:
        """Print the result; not again on a terminal where it has just been streamed."""
        if sys.stdout.isatty() and is_repeated(output, self._tree.entries):
            return
        if self._screen.file is sys.stdout:
            self._screen.print()
        print(result_text(output))

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def story_screen() -> Console:
    """Return where a run is told while its result goes to standard output."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(file=sys.stderr, highlight=False, width=None if sys.stderr.isatty() else WIDTH)


def _key(entry: Taken | Remark) -> str:
    return entry.id if isinstance(entry, Taken) else f"remark {entry.id}"


def _ending(result: TaskResult, now: datetime) -> Text:
    took = precise((now - result.created_at).total_seconds())
    facts = [took if result.status.is_final else f"for {took}", *_usage(result.response)]
    return Text.assemble(state(result.status), ("  " + " · ".join(facts), "dim"))


def _usage(response: JsonObject) -> list[str]:
    usage = response.get("usage")
    if not isinstance(usage, dict) or not usage.get("llm_calls"):
        return []
    calls, cost = usage["llm_calls"], usage.get("cost_usd")
    said = [f"{calls} model call{'' if calls == 1 else 's'}", f"{usage.get('total_tokens', 0):,} tokens"]
    return [*said, f"${cost:.4f}"] if isinstance(cost, int | float) and cost else said
