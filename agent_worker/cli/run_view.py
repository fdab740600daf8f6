"""How a run of a pipeline looks in a terminal: a line for each step, and under it what the step said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from rich.console import Console
from rich.text import Text

from agent_worker.cli.screen import STATES, one_line, plain_text
from agent_worker.cli.timeline import precise
from agent_worker.domain.json import JsonValue
from agent_worker.domain.task import TaskStatus
from agent_worker.pipelines.telling.taken import Called, Remark, Said, Taken

_INDENT = 2
_WIDEST = 100
_NARROW = 64
"""Below this, a step shows no more than its name and how long it took."""
_MOST_ROUNDS = 12
_FEW_ROUNDS = 3

Key: TypeAlias = tuple[str, str, bool]
"""What kind of part, which one, and whether it was final when it was printed."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some lines that are printed together, once."""

    key: Key
    lines: list[Text]


@dataclass(slots=True)
class View:
    """Turns entries of a run into lines.

    Attributes:
        screen: Where they are shown; only its width is used.
        now: Ends the spans of what still runs.
        ended: How the run ended; None while it has not.
        is_asking: Leave out texts and calls that are not over, for a question follows.
        is_live: Show how long things take that still run, and leave out the rounds of loops that are over.
        most_text: Last lines of each text to show; None shows all.
        shown: What is printed for good; a step that was printed while it ran is closed after its parts.
    """

    screen: Console
    now: datetime
    ended: TaskStatus | None = None
    is_asking: bool = False
    is_live: bool = False
    most_text: int | None = None
    shown: set[Key] = field(default_factory=set)

    @property
    def width(self) -> int:
        """Columns to use."""
        return min(self.screen.width, _WIDEST)

    def lines(self, entry: Taken | Remark) -> list[Text]:
        """Return all lines of an entry that are not printed yet."""
        return [line for block in self.blocks(entry) for line in block.lines]

    def blocks(self, entry: Taken | Remark, depth: int = 0) -> Iterator[Block]:
        """Yield what is not printed yet of an entry, in the order in which it is read."""
        made = self._step(entry, depth) if isinstance(entry, Taken) else self._remark(entry, depth)
        return (block for block in made if block.key not in self.shown and not self._is_put_off(block.key))

    def _is_put_off(self, key: Key) -> bool:
        kind, _, is_final = key
        return self.is_asking and kind in {"said", "call"} and not is_final

    def _step(self, step: Taken, depth: int) -> Iterator[Block]:
        is_final = step.ended_at is not None or self.ended is not None
        head = Block(("step", step.id, is_final), [self._head(step, depth)])
        was_open = ("step", step.id, False) in self.shown
        if not was_open:
            yield head
        for part in step.parts:
            match part:
                case Said():
                    yield from self._said(part, depth + 1)
                case Called():
                    yield from self._called(part, depth + 1)
                case Remark():
                    yield from self._remark(part, depth + 1)
                case Taken():
                    pass
        yield from self._inside(step, depth + 1)
        if (
            step.error is not None
            and step.state == "failed"
            and not any(inner.error == step.error for inner in step.steps)
        ):
            error = Text(one_line(step.error), style="red")
            yield Block(("error", step.id, is_final), self._wrapped(error, depth + 1))
        if was_open:
            yield head

    def _inside(self, step: Taken, depth: int) -> Iterator[Block]:
        """Yield the steps inside a step; of a loop with many rounds only some."""
        steps = step.steps
        rounds = dict.fromkeys(inner.rounds for inner in steps)
        kept = self._kept(steps, list(rounds))
        if hidden := len(rounds) - len(kept):
            text = f"{hidden} round{'' if hidden == 1 else 's'} completed"
            line = self._line(Text(text, style="dim"), Text(), depth)
            yield Block(("rounds", step.id, step.ended_at is not None), [line])
        for inner in steps:
            if inner.rounds in kept:
                yield from self.blocks(inner, depth)

    def _kept(self, steps: list[Taken], rounds: list[tuple[int, ...]]) -> set[tuple[int, ...]]:
        """Return the rounds to show: all where they are few, else those that tell something, and the last ones."""
        if not self.is_live and len(rounds) <= _MOST_ROUNDS:
            return set(rounds)
        telling = {inner.rounds for inner in steps if inner.state != "completed" or not inner.rounds}
        return telling | set(() if self.is_live else rounds[-_FEW_ROUNDS:])

    def _head(self, step: Taken, depth: int) -> Text:
        shape, colour = STATES[self._state(step)]
        number = " ".join(f"#{each + 1}" for each in step.rounds)
        left = Text.assemble((shape, colour), " ")
        if step.branch is not None:
            left.append(f"{one_line(step.branch)} › ", style="dim")
        if number:
            left.append(f"{number} ", style="dim")
        left.append(one_line(step.name))
        if step.detail:
            left.append(f"  {one_line(step.detail)}", style="dim")
        ended_at = step.ended_at or (self.now if self.is_live or self.ended else None)
        took = "" if ended_at is None else precise((ended_at - step.began_at).total_seconds())
        if self.width < _NARROW:
            return self._line(left, Text(took, style="dim"), depth)
        tokens = "" if step.tokens is None else f"{step.tokens:,} tokens"
        return self._line(left, Text(f"{step.kind:>14} {took:>8} {tokens:>13}", style="dim"), depth)

    def _state(self, step: Taken) -> TaskStatus:
        if self.ended is not None and step.ended_at is None and step.error is None:
            return TaskStatus.FAILED if self.ended is TaskStatus.FAILED else TaskStatus.CANCELLED
        return TaskStatus(step.state)

    def _said(self, said: Said, depth: int) -> Iterator[Block]:
        text = plain_text(said.text).strip("\n")
        if not text:
            return
        is_final = not said.is_open or self.ended is not None
        if said.is_reasoning:
            thought = Text(f"thinking · {len(text):,} characters", style="dim")
            yield Block(("said", said.id, is_final), [self._line(thought, Text(), depth)])
            return
        if said.type is not None and not said.is_open:
            text = _indented(text)
        lines = self._wrapped(Text(text), depth)
        yield Block(
            ("said", said.id, is_final), lines if self.most_text is None else lines[-self.most_text :]
        )

    def _called(self, call: Called, depth: int) -> Iterator[Block]:
        is_final = call.ended_at is not None or self.ended is not None
        took = "" if call.ended_at is None else precise((call.ended_at - call.began_at).total_seconds())
        left = Text.assemble(("→ ", "cyan"), one_line(call.title or call.name), " ")
        left.append(_brief(call.input), style="dim")
        if call.error is not None:
            left.append(f"  ✕ {one_line(call.error)}", style="red")
        elif call.output not in {None, ""} if isinstance(call.output, str | None) else True:
            left.append(f"  = {_brief(call.output)}", style="dim")
        yield Block(("call", call.id, is_final), [self._line(left, Text(took, style="dim"), depth)])

    def _remark(self, remark: Remark, depth: int) -> Iterator[Block]:
        text = Text(f"↻ {one_line(remark.text)}", style="yellow")
        yield Block(("remark", remark.id, True), self._wrapped(text, depth))

    def _line(self, left: Text, right: Text, depth: int) -> Text:
        """Put two texts at the ends of one line; the left one is cut where they meet."""
        line = Text(" " * (_INDENT * depth), no_wrap=True, overflow="ellipsis")
        line.append_text(left)
        room = self.width - (right.cell_len + 2 if right else 0)
        line.truncate(room, overflow="ellipsis")
        if right:
            line.append(" " * (self.width - line.cell_len - right.cell_len))
            line.append_text(right)
        return line

    def _wrapped(self, text: Text, depth: int) -> list[Text]:
        indent = " " * (_INDENT * depth)
        found = text.wrap(self.screen, max(self.width - len(indent), 20), tab_size=4)
        return [Text(indent, no_wrap=True).append_text(line) for line in found]


def tail(lines: list[Text], height: int) -> list[Text]:
    """Return as many lines as fit: the first, and the last ones."""
    if len(lines) <= height:
        return lines
    return [*lines[:1], Text("  …", style="dim"), *lines[len(lines) - max(height - 2, 1) :]]


def result_text(output: JsonValue) -> str:
    """Return what a run came to, as it is printed: text as it is, anything else as JSON."""
    if isinstance(output, str):
        return plain_text(output)
    return json.dumps(output, ensure_ascii=False, indent=2)


def is_repeated(output: JsonValue, entries: list[Taken | Remark]) -> bool:
    """Tell whether the last thing that was said is the output itself."""
    last = _last_said(entries)
    if last is None:
        return False
    if isinstance(output, str):
        return last.text.strip() == output.strip()
    try:
        return bool(json.loads(last.text) == output)
    except ValueError:
        return False


def _last_said(entries: list[Taken | Remark]) -> Said | None:
    steps = [entry for entry in entries if isinstance(entry, Taken)]
    if not steps:
        return None
    said = [part for part in steps[-1].parts if isinstance(part, Said) and not part.is_reasoning]
    return said[-1] if said and not steps[-1].steps else None


def _brief(value: JsonValue) -> str:
    return "" if value is None else one_line(json.dumps(value, ensure_ascii=False))


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except ValueError:
        return text
