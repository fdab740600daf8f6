"""What one held task has said and nobody has written yet, in two ways: all by rows, or text by broadcast first.

Rows: text waits 50 ms for company and is then a row. Broadcast: the same pieces go to who listens right now, and one
row for about a second of them goes to the table, so that it gets twenty times fewer of them. Every other event is a row
at once in both, after the text before it. The first text of an attempt hardly waits: a person does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias

from agent_worker.db.queue import Delta, Said
from agent_worker.domain.events import DeltaBuffer, Event
from agent_worker.domain.task import Lease

StreamMode: TypeAlias = Literal["changes", "broadcast"]

SOFT_DELAY_S = 0.05
"""Longest that streamed text waits for company."""

FIRST_DELAY_S = 0.005
"""Longest that the first text of an attempt waits; attempts that begin together share a commit."""

HOLD_S = 1.0
"""Longest that text which was broadcast waits for its row."""

HOLD_BYTES = 16_384
"""Largest row of text that was broadcast."""


class Stream(Protocol):
    """Numbers the events of one attempt, in order and without a gap."""

    def emit(self, event: Event) -> float:
        """Add an event; returns for how many seconds it may wait."""
        ...

    def emit_text(self, text_id: str, delta: str, step: str | None) -> float:
        """Add a piece of text; returns for how many seconds it may wait."""
        ...

    def take(self, lease: Lease, *, by: float) -> tuple[list[Said], list[Delta]]:
        """Return what is due at a time of `time.monotonic()`: as rows, and as broadcasts."""
        ...

    @property
    def due(self) -> float | None:
        """When a row is due that was not taken, as a time of `time.monotonic()`; None: nothing is left."""
        ...


class RowStream:
    """Everything is a row.

    Args:
        last_seq: Number of the task's last event so far.
    """

    __slots__ = ("_delay_s", "_events", "_last_seq", "_text")

    due = None

    def __init__(self, last_seq: int) -> None:
        self._last_seq = last_seq
        self._events: list[Event] = []
        self._text = DeltaBuffer()
        self._delay_s = FIRST_DELAY_S

    def emit(self, event: Event) -> float:
        """Add an event."""
        self._events += self._text.take()
        self._events.append(event)
        return SOFT_DELAY_S

    def emit_text(self, text_id: str, delta: str, step: str | None) -> float:
        """Add a piece of text; neighbouring pieces become one event."""
        self._events += self._text.add(text_id, delta, step)
        delay_s, self._delay_s = self._delay_s, SOFT_DELAY_S
        return delay_s

    def take(self, lease: Lease, *, by: float) -> tuple[list[Said], list[Delta]]:  # noqa: ARG002 - all is due
        """Return all there is."""
        events, self._events = self._events + self._text.take(), []
        first = self._last_seq + 1
        self._last_seq += len(events)
        return [Said(lease, first + n, event) for n, event in enumerate(events)], []


class BroadcastStream:
    """Text is broadcast in parts, and is a row once its second is over or something else is said.

    A part that has not been sent when its row is due is not sent any more: the row says it.

    Args:
        last_seq: Number of the task's last event so far.
    """

    __slots__ = ("_delay_s", "_events", "_held_since", "_last_seq", "_part", "_text", "_unsent")

    def __init__(self, last_seq: int) -> None:
        self._last_seq = last_seq
        self._events: list[Event] = []
        self._text = DeltaBuffer(max_bytes=HOLD_BYTES)
        self._unsent = DeltaBuffer(max_bytes=HOLD_BYTES)
        self._part = 0
        self._held_since: float | None = None
        self._delay_s = FIRST_DELAY_S

    @property
    def due(self) -> float | None:
        """When the text that was broadcast has to be a row."""
        return None if self._held_since is None else self._held_since + HOLD_S

    def emit(self, event: Event) -> float:
        """Add an event."""
        self._close(self._text.take())
        self._events.append(event)
        return SOFT_DELAY_S

    def emit_text(self, text_id: str, delta: str, step: str | None) -> float:
        """Add a piece of text; what is broadcast later than this belongs to the same row, unless that is full."""
        if closed := self._text.add(text_id, delta, step):
            self._close(closed)
        if not self._text.is_empty:
            self._unsent.add(text_id, delta, step)
            if self._held_since is None:
                self._held_since = time.monotonic()
        delay_s, self._delay_s = self._delay_s, SOFT_DELAY_S
        return delay_s

    def take(self, lease: Lease, *, by: float) -> tuple[list[Said], list[Delta]]:
        """Return closed rows, and what was said since the last take of the one that is open."""
        if self.due is not None and self.due <= by:
            self._close(self._text.take())
        events, self._events = self._events, []
        first = self._last_seq + 1
        self._last_seq += len(events)
        said = [Said(lease, first + n, event) for n, event in enumerate(events)]
        if not (unsent := self._unsent.take()):
            return said, []
        delta = Delta(lease, self._last_seq + 1, self._part, unsent)
        self._part += 1
        return said, [delta]

    def _close(self, rows: list[Event]) -> None:
        self._events += rows
        self._unsent.take()
        self._part = 0
        self._held_since = None


STREAMS: Mapping[StreamMode, Callable[[int], Stream]] = MappingProxyType(
    {"changes": RowStream, "broadcast": BroadcastStream}
)
"""What AGENT_WORKER_STREAM chooses between; each makes the stream of one attempt of its task's last number."""
