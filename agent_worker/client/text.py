"""The text of a task's stream, across attempts."""

from __future__ import annotations

from dataclasses import dataclass

from agent_worker.domain.events import ATTEMPT_START, TEXT_DELTA, visible_events
from agent_worker.domain.json import JsonObject
from agent_worker.domain.records import TaskEvent


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A piece of streamed text.

    Attributes:
        text: What to append to the text shown so far.
        restarted: An attempt began anew and the text shown so far is void: show `text` instead of it. It holds what
            still stands, the text of finished steps, and is usually empty.
    """

    text: str
    restarted: bool = False


class Text:
    """Turns events into pieces of text; remembers the text, to know what a new attempt leaves of it."""

    def __init__(self) -> None:
        self._spoken: list[tuple[str, JsonObject]] = []

    def piece(self, event: TaskEvent) -> TextPiece | None:
        """Return what the event means for the text, or None."""
        if event.type == TEXT_DELTA:
            self._spoken.append((event.type, event.data))
            return TextPiece(str(event.data["delta"]))
        if event.type != ATTEMPT_START:
            return None
        standing = visible_events([*self._spoken, (event.type, event.data)])
        if len(standing) == len(self._spoken):
            return None
        self._spoken = standing
        return TextPiece("".join(str(data["delta"]) for _, data in standing), restarted=True)
