"""Side by side, and yet one question at a time.

A task that asks a person or its client ends its attempt there, and the event that closes the leg must be its last. So a
branch that wants to ask waits until no other branch is busy; the others wait too or have ended by then. Once one has
parked, whoever wants to ask parks with it, and asks in a later attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, TypeVar

from agent_worker.domain.errors import LeaseLost, Postponed, ProviderPaused
from agent_worker.domain.replay import Parked

T = TypeVar("T")


class Quiet:
    """Counts the busy branches of a run."""

    def __init__(self) -> None:
        self._busy = 1
        self._changed = asyncio.Condition()
        self._parked: Parked | None = None

    @property
    def has_parked(self) -> bool:
        """Whether the attempt ends with a question, so that nothing new should begin."""
        return self._parked is not None

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask when everybody else is quiet; an answer that is known comes back at once.

        Raises:
            Parked: The answer is not known, or another branch has parked.
        """
        self._busy -= 1
        try:
            async with self._changed:
                self._changed.notify_all()
                await self._changed.wait_for(lambda: self._busy == 0)
                self._busy += 1
        except BaseException:
            self._busy += 1
            raise
        if self._parked is not None:
            raise Parked(self._parked.question)
        try:
            return await question()
        except Parked as parked:
            self._parked = parked
            raise

    async def together(self, branches: Sequence[Callable[[], Awaitable[None]]]) -> None:
        """Run branches side by side. All run to their end, also when one fails: what they finish need not run again.

        Raises:
            Parked: One asks a question; it goes before errors.
            ProcessorError: The first branch's that failed.
        """
        if not branches:
            return
        left = len(branches)
        self._busy += left - 1

        async def run(branch: Callable[[], Awaitable[None]]) -> None:
            nonlocal left
            try:
                await branch()
            finally:
                left -= 1
                if left:
                    await self._rest()
                # The last one stays busy in the place of whoever waits for all of them, and goes on at once.

        try:
            ends = await asyncio.gather(*map(run, branches), return_exceptions=True)
        finally:
            self._busy -= max(left - 1, 0)  # those that were cancelled before they began
        if errors := [end for end in ends if end is not None]:
            raise_first(errors)

    async def _rest(self) -> None:
        self._busy -= 1
        async with self._changed:
            self._changed.notify_all()


def raise_first(errors: Sequence[BaseException]) -> NoReturn:
    """Raise what decides: a lost lease, a question, a pause, or else the first error."""
    for kind in (LeaseLost, Parked, Postponed, ProviderPaused):
        for error in errors:
            if isinstance(error, kind):
                raise error
    raise errors[0]
