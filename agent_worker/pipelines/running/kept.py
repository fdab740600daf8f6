"""Say that something begins whose parts have checkpoints, so that no client loses its start while it keeps the parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent_worker.domain.json import JsonObject
from agent_worker.domain.processor import TaskContext

Say = Callable[[], Awaitable[None]]


class Kept:
    """One thing that begins, and may fail and begin anew.

    The start is kept as the parts are. So a failure's end is kept as well, and whatever it is begins anew when it is tried
    again, in this attempt or in another: each time is numbered. An end without failure belongs to the checkpoint around.

    Args:
        ctx: The task's.
        place: Of the step that it belongs to.
        part: Tells it from other things of the step.
    """

    def __init__(self, ctx: TaskContext, place: str, *, part: str = "") -> None:
        self._ctx = ctx
        self._place = place
        self._part = part

    async def start(self, say: Say) -> None:
        """Say that it begins, unless that was said and no end since."""
        await self._once(f"start-{await self._number()}", say)

    async def fail(self, say: Say) -> None:
        """Say that it has ended badly."""
        number = await self._number()
        await self._once(f"end-{number}", say)
        await self._ctx.checkpoint.put(self._key("ended"), number + 1)

    async def _number(self) -> int:
        number = await self._ctx.checkpoint.get(self._key("ended"), 0)
        return number if isinstance(number, int) else 0

    async def _once(self, what: str, say: Say) -> None:
        async def say_it() -> JsonObject:
            await say()
            return {}

        await self._ctx.step(self._key(what), say_it)

    def _key(self, what: str) -> str:
        return f"{self._part}{what}:{self._place}"
