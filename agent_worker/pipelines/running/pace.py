"""What one attempt may take of its worker, so that no definition harms the tasks beside it.

All runs of a worker together give the event loop back every millisecond, also while they only compute or recall. What a
run may do and keep is bounded, far above what is useful: a worker holds a hundred attempts, and all that an attempt
remembers is in its memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from agent_worker.domain.json import JsonValue
from agent_worker.pipelines.running.usage import LimitExceeded

Result = TypeVar("Result")

MOST_BLOCKS = 100_000
"""Blocks and items of loops that one attempt runs or recalls."""
MOST_AT_ONCE = 2 * 1024 * 1024
"""Characters that one block may leave."""
MOST_KEPT = 32 * 1024 * 1024
"""Characters that all of them leave."""
MOST_HEARD = 8 * 1024 * 1024
"""Characters of all conversations that are open side by side; more than any model reads."""

MOST_RETURNED = 1 * 1024 * 1024
"""Characters that a call of a tool may return."""

_PICTURE = "data:image/"
_PER_LETTER_OF_PICTURES = 4
"""So many letters of a picture's `data:` address count as one: plain letters are quickly copied and written."""

_LARGE = 64 * 1024
_TURN_S = 0.001
_PER_VALUE = 6


class Turns:
    """Shares a millisecond in each round of the event loop among the runs of a worker; each gets one block at least."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._is_over = False

    async def take(self) -> None:
        """Return at once while there is time, else in the next round."""
        if time.monotonic() - self._began < _TURN_S:
            return
        if not self._is_over:
            self._is_over = True
            # Called first in the next round, before those that sleep from now on wake up.
            asyncio.get_running_loop().call_soon(self._begin)
        await asyncio.sleep(0)

    def _begin(self) -> None:
        self._began = time.monotonic()
        self._is_over = False


class Pace:
    """Counts one attempt's blocks and what they leave.

    Args:
        turns: Those of its worker.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._blocks = 0
        self._kept = 0

    async def turn(self) -> None:
        """Begin another block, after other tasks had their turn.

        Raises:
            LimitExceeded: There were too many.
        """
        self._blocks += 1
        if self._blocks > MOST_BLOCKS:
            raise LimitExceeded(f"The run has more than {MOST_BLOCKS:,} blocks and items of loops.")
        await self._turns.take()

    def keep(self, value: JsonValue) -> None:
        """Count what is going to be remembered, or was.

        Raises:
            LimitExceeded: It is too much, by itself or with what was there before.
        """
        self.count(weigh(value))

    def count(self, size: int) -> None:
        """Count so many characters; raises as `keep`."""
        if size > MOST_AT_ONCE:
            raise LimitExceeded(
                f"A step leaves more than {MOST_AT_ONCE // 2**20} Mi characters; hand over the address of a file instead."
            )
        self._kept += size
        if self._kept > MOST_KEPT:
            raise LimitExceeded(f"The run's steps leave more than {MOST_KEPT // 2**20} Mi characters in all.")


async def beside(look: Callable[[], Result], value: JsonValue) -> Result:
    """Run what looks at each part of a value: in a thread when the value is large, so that the event loop goes on."""
    return look() if weigh(value, _LARGE) < _LARGE else await asyncio.to_thread(look)


def weigh(value: JsonValue, most: int = MOST_AT_ONCE) -> int:
    """Return about how many characters a value has as JSON, pictures as a quarter; stops counting soon after `most`."""
    size = 0
    rest: list[JsonValue] = [value]
    while rest and size <= most:
        match rest.pop():
            case str(text):
                is_picture = text.startswith(_PICTURE) and text.isascii()
                size += len(text) // _PER_LETTER_OF_PICTURES if is_picture else len(text)
            case Mapping() as members:
                size += sum(map(len, members)) + _PER_VALUE * len(members)
                rest += members.values() if size <= most else ()
            case Sequence() as items:
                size += _PER_VALUE * len(items)
                rest += items if size <= most else ()
            case _:
                pass
    return size
