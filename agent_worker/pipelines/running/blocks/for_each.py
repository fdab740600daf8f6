"""`for-each`: run steps once for each item of a list, several items at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import repeat

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.definition.flow import ForEach
from agent_worker.pipelines.running.execution import Step, unsupported
from agent_worker.pipelines.running.interruptions import UNANSWERED
from agent_worker.pipelines.running.state import Effect
from agent_worker.pipelines.running.usage import Used

MOST_ITEMS = 10_000


async def run(step: Step, block: ForEach) -> Effect:
    """Run the items in their order, `concurrency` at once. A finished item is remembered; a failed one is not.

    Raises:
        ProcessorError: More items failed than are tolerated: the first one's error.
    """
    loop = _Loop(step, block, _items(step, block))
    await step.execution.quiet.together([loop.work] * min(block.concurrency, len(loop.items)))
    if loop.has_failed:
        raise loop.errors[min(loop.errors)]
    return step.writes(block.output, loop.results)


class _Loop:
    """The items of one execution, and what became of them."""

    def __init__(self, step: Step, block: ForEach, items: Sequence[JsonValue]) -> None:
        self.items = items
        self.results: list[JsonValue] = list(repeat(None, len(items)))
        self.errors: dict[int, ProcessorError] = {}
        self._step = step
        self._block = block
        self._rest: Iterator[tuple[int, JsonValue]] = iter(enumerate(items))

    async def work(self) -> None:
        """Take items until there are none, or the run stops to ask.

        Also when too many have failed: what the others finish need not run again.
        """
        for number, item in self._rest:
            if self._step.execution.quiet.has_parked:
                await self._step.execution.quiet.ask(_nothing)
            try:
                noted = await self._run_item(number, item)
            except UNANSWERED:
                raise
            except ProcessorError as error:
                self.errors[number] = error
            else:
                self.results[number] = noted.get("value")

    @property
    def has_failed(self) -> bool:
        """Whether more items have failed than are tolerated."""
        failed = len(self.errors)
        return failed > 0 and not self._block.tolerates(failed, len(self.items))

    async def _run_item(self, number: int, item: JsonValue) -> JsonObject:
        execution, block = self._step.execution, self._block
        is_live = False
        await execution.pace.turn()

        async def run_live() -> JsonObject:
            nonlocal is_live
            is_live = True
            inner = self._step.scope.fork(number)
            inner.values[block.item] = item
            part = replace(execution, budget=execution.budget.part())
            await part.run_steps(part, block.steps, inner)
            value = None if block.collect is None else inner.values.get(block.collect)
            noted = {"value": value, "used": part.budget.used.as_json()}
            execution.pace.keep(noted)
            return noted

        noted = await execution.ctx.step(f"item:{self._step.place}@{number}", run_live)
        if not is_live:
            execution.pace.keep(noted)
            execution.budget.restore(Used.read(noted.get("used")))
        return noted


async def _nothing() -> None:
    """Stand for a question that is not asked; `Quiet.ask` parks before it comes to this."""


def _items(step: Step, block: ForEach) -> Sequence[JsonValue]:
    items = step.scope.values.get(block.items)
    if items is None:
        return ()
    if isinstance(items, str) or not isinstance(items, Sequence):
        raise unsupported(
            f"{block.items} is no list, so {block.name!r} has nothing to go through.", code="no_list"
        )
    if len(items) > MOST_ITEMS:
        raise unsupported(
            f"{block.items} has {len(items):,} items; at most {MOST_ITEMS:,} can be run.", code="no_list"
        )
    return items
