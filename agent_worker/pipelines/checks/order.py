"""Order: threads are started before they are used, variables written before they are read, jumps go forward.

A step may be skipped, so "before" means that some way through the steps before it does so; what is certain to be missing
is told, what is only possible is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent_worker.pipelines.checks.uses import of_block
from agent_worker.pipelines.definition.blocks import AddMessage, NextMessage, SerializeThread, StartThread
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.definition.flow import Branch, ForEach, If, Parallel, Repeat
from agent_worker.pipelines.definition.policies import Goto, UseDefault
from agent_worker.pipelines.definition.steps import AnyBlock, Steps, nested, walk, written
from agent_worker.pipelines.names import MAIN_THREAD
from agent_worker.pipelines.problems import Problems, quoted


@dataclass(slots=True)
class _Known:
    """What steps so far may have started and written."""

    threads: set[str] = field(default_factory=set)
    values: set[str] = field(default_factory=set)

    def copy(self) -> _Known:
        return _Known(set(self.threads), set(self.values))

    def join(self, other: _Known) -> None:
        self.threads |= other.threads
        self.values |= other.values


def check_order(definition: Definition, problems: Problems) -> None:
    """Check all steps and handlers."""
    checker = _Checker(definition, problems)
    if definition.settings.format == "worker":
        checker.check(definition.steps, _initial(definition))
    else:
        # Threads and variables of an interactive agent outlive a trigger, so any handler may have run before.
        known = _initial(definition)
        known.threads |= {MAIN_THREAD, *_started(definition)}
        known.values |= {*definition.variables, *definition.resources}
        for name, steps in definition.handlers.items():
            state = known.copy()
            state.values |= definition.triggers[name].inputs.keys() if name in definition.triggers else set()
            checker.check(steps, state)
    check_jumps(definition.steps, problems)
    for steps in definition.handlers.values():
        check_jumps(steps, problems)


def check_jumps(steps: Steps, problems: Problems) -> None:
    """Check `onError` of a list of steps and of all lists inside it."""
    positions = {block.name: index for index, block in enumerate(steps)}
    for index, block in enumerate(steps):
        path = (*block.path, "onError")
        match block.on_error:
            case Goto(step) if step not in positions:
                problems.unknown((*path, "goto"), "step of this list", step, positions.keys())
            case Goto(step) if positions[step] <= index:
                message = (
                    f"{quoted(step)} does not come after this step; use retry or repeat to do things again"
                )
                problems.error((*path, "goto"), message)
            case UseDefault() if not written(block):
                problems.error((*path, "default"), "the step has no output that could get the default")
            case _:
                pass
        for inner in nested(block):
            check_jumps(inner, problems)


def _initial(definition: Definition) -> _Known:
    with_default = (name for name, each in definition.variables.items() if each.has_default)
    return _Known(values={*definition.inputs, *definition.resources, *with_default})


def _started(definition: Definition) -> set[str]:
    return {block.thread for block in definition.blocks() if isinstance(block, StartThread)}


class _Checker:
    """Follows the steps in their order."""

    def __init__(self, definition: Definition, problems: Problems) -> None:
        self._problems = problems
        self._declared = definition.variables.keys()
        self._ever_started = _started(definition) | (
            {MAIN_THREAD} if definition.settings.format == "interactive" else set()
        )

    def check(self, steps: Steps, known: _Known) -> None:
        """Check steps one after the other; `known` grows by what they may do."""
        for block in steps:
            self._check_threads(block, known)
            self._check_reads(block, known)
            self._enter(block, known)
            known.values.update(written(block))

    def _enter(self, block: AnyBlock, known: _Known) -> None:
        match block:
            case StartThread(thread=thread):
                known.threads.add(thread)
            case If() | Branch() | Parallel():
                if isinstance(block, Parallel):
                    self._check_conflicts(block)
                before = known.copy()
                for inner in nested(block):
                    state = before.copy()
                    self.check(inner, state)
                    known.join(state)
            case ForEach(steps=steps, item=item):
                state = known.copy()
                state.values.add(item)
                self.check(steps, state)
            case Repeat(steps=steps):
                # A later round reads what an earlier one has written.
                known.values |= _writes(steps)
                self.check(steps, known)
            case _:
                pass

    def _check_threads(self, block: AnyBlock, known: _Known) -> None:
        if not isinstance(block, AddMessage | NextMessage | SerializeThread) or block.thread in known.threads:
            return
        path = (*block.path, "thread")
        if block.thread not in self._ever_started:
            message = (
                f"the thread {quoted(block.thread)} is never started; a step with start-thread does that"
            )
            self._problems.error(path, message)
        elif isinstance(block, NextMessage):
            self._problems.error(path, f"the thread {quoted(block.thread)} is not started before this step")
        else:
            self._problems.warning(path, f"the thread {quoted(block.thread)} is not started before this step")

    def _check_reads(self, block: AnyBlock, known: _Known) -> None:
        later = _writes(block.steps) if isinstance(block, Repeat) else set()
        for use in of_block(block):
            is_variable = use.kind == "variable" and use.name in self._declared
            if is_variable and use.name not in known.values and use.name not in later:
                self._problems.warning(use.path, f"no step before this one gives {use.name} a value")

    def _check_conflicts(self, block: Parallel) -> None:
        writers: dict[str, str] = {}
        talkers: dict[str, str] = {}
        for name, steps in block.branches.items():
            path = (*block.path, "branches", name)
            for variable in _writes(steps):
                if (other := writers.setdefault(variable, name)) != name:
                    self._problems.error(path, f"{variable} is written by the branch {quoted(other)} too")
            for thread in _threads(steps):
                if (other := talkers.setdefault(thread, name)) != name:
                    self._problems.error(path, f"the thread {quoted(thread)} is used by {quoted(other)} too")


def _writes(steps: Steps) -> set[str]:
    """Return what steps write for those after them; what an item of a loop writes stays inside."""
    found: set[str] = set()
    for block in steps:
        found.update(written(block))
        if not isinstance(block, ForEach):
            for inner in nested(block):
                found |= _writes(inner)
    return found


def _threads(steps: Steps) -> set[str]:
    return {
        block.thread
        for block in walk(steps)
        if isinstance(block, StartThread | AddMessage | NextMessage | SerializeThread)
    }
