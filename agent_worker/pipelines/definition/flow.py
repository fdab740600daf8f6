"""One dataclass for each kind of block that is ours: branches, loops, waits and people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from agent_worker.pipelines.conditions import Condition
from agent_worker.pipelines.definition.blocks import Block
from agent_worker.pipelines.definition.values import Ref, Value
from agent_worker.pipelines.types.shapes import Property

if TYPE_CHECKING:
    from agent_worker.pipelines.definition.steps import Steps

OnTimeout: TypeAlias = Literal["fail", "approve", "reject"]

DEFAULT_ITERATIONS = 10
MOST_ITERATIONS = 1000
MOST_CONCURRENCY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class If(Block):
    """Run one list of steps or another.

    Attributes:
        test: What decides.
        then: When it holds.
        otherwise: When it does not.
    """

    kind: ClassVar[str] = "if"

    test: Condition
    then: Steps
    otherwise: Steps = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch(Block):
    """Run the list of steps whose case equals the text of a value.

    Attributes:
        value: Variable that decides.
        cases: By its text.
        default: When no case fits.
    """

    kind: ClassVar[str] = "branch"

    value: str
    cases: Mapping[str, Steps]
    default: Steps = ()

    def choose(self, text: str) -> Steps:
        """Return the steps for a text."""
        return self.cases.get(text, self.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForEach(Block):
    """Run steps once for each item of a list.

    Each item begins with a copy of all variables and threads; of what it writes, only its result comes out.

    Attributes:
        items: Variable that holds the list.
        item: Name of the item inside the steps.
        concurrency: Items at once.
        steps: What runs for each.
        collect: Variable whose value, at the end of its steps, is an item's result; None collects nothing.
        output: Variable for the list of results, in the order of the items; null where an item failed.
        tolerated: How many items may fail before the block does: a number, or a part of all from 0 to 1.
    """

    kind: ClassVar[str] = "for-each"

    items: str
    item: str
    concurrency: int = 1
    steps: Steps
    collect: str | None = None
    output: str | None = None
    tolerated: int | float = 0

    def tolerates(self, failed: int, total: int) -> bool:
        """Tell whether so many failed items of so many are no reason to fail."""
        bound = self.tolerated if isinstance(self.tolerated, int) else self.tolerated * total
        return failed <= bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel(Block):
    """Run lists of steps side by side.

    Each branch begins with a copy of all variables and threads, and what it writes comes back when all have ended. No
    two write the same variable or use the same thread.
    """

    kind: ClassVar[str] = "parallel"

    branches: Mapping[str, Steps]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat(Block):
    """Run steps until a condition holds after them, or often enough; then the next step runs.

    Attributes:
        until: None runs them `max_iterations` times.
    """

    kind: ClassVar[str] = "repeat"

    steps: Steps
    until: Condition | None = None
    max_iterations: int = DEFAULT_ITERATIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class SetVariable(Block):
    """Write a variable."""

    kind: ClassVar[str] = "set-variable"

    variable: str
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Block):
    """Go on later; no worker is held meanwhile.

    Attributes:
        seconds: How long, or the variable that holds a duration or a number of seconds; None when `until` says it.
        until: The moment, as ISO 8601 text, or the variable that holds it; None when `seconds` says it.
    """

    kind: ClassVar[str] = "wait"

    seconds: float | Ref | None = None
    until: str | Ref | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanApproval(Block):
    """Ask a person to approve, and to fill in a form.

    Attributes:
        prompt: Name of the prompt that the person reads.
        input: Name in the prompt → variable.
        form: Fields to fill in.
        wait_s: How long the answer may take; None waits for ever.
        on_timeout: What then: the step fails, or goes on as if the person had approved or rejected.
        approved: Variable for true or false.
        output: Variable for `{"approved": bool, …fields of the form}`.
    """

    kind: ClassVar[str] = "human-approval"

    prompt: str
    input: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, Property] = field(default_factory=dict)
    wait_s: float | None = None
    on_timeout: OnTimeout = "fail"
    approved: str | None = None
    output: str | None = None
