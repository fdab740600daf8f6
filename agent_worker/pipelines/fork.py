"""Which part of a run's past a fork takes over, so that it begins at a step of the reader's choice.

The steps of a worker run one after the other and a `goto` only goes on, so what comes before a step is what stands before
it. A fork takes the checkpoints of these steps: it finds them finished, without calling models or tools, and runs the rest
anew. Their events stay with the run that it was forked from.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from agent_worker.domain.client_errors import ForkRefused
from agent_worker.domain.json import JsonValue
from agent_worker.domain.replay import Checkpoint
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.definition.steps import AnyBlock, Steps, nested
from agent_worker.pipelines.names import block_step
from agent_worker.pipelines.problems import quoted, suggestion
from agent_worker.pipelines.running.blocks import is_computed
from agent_worker.pipelines.running.state import Scope

_INSIDE = (".", "@", "/", ":")
"""What may follow a step's place where something inside of it is named: see `Scope.place`, and who makes places longer."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of a run.

    Attributes:
        checkpoints: All, by key.
        shown: Ids of the blocks whose start its events tell.
        is_completed: Whether it came to its end.
    """

    checkpoints: Mapping[str, Checkpoint]
    shown: AbstractSet[str]
    is_completed: bool


def kept_keys(definition: Definition, from_step: str, past: Past) -> list[str]:
    """Return the keys of the checkpoints that a fork takes over.

    Args:
        definition: What ran.
        from_step: Name of the step to begin at, one of the outermost list.
        past: Of the run.

    Raises:
        ForkRefused: There is no such step, or the run has not come to it, or jumped over it.
    """
    names = [block.name for block in definition.steps]
    if from_step not in names:
        raise ForkRefused(
            f"the pipeline has no step {quoted(from_step)} in its outermost list{suggestion(from_step, names)}"
        )
    position = names.index(from_step)
    places = [Scope({}).place(block) for block in definition.steps]
    owners = {key: _owner(key, places) for key in past.checkpoints}
    if position > 0 and not past.is_completed:
        begun = {places.index(owner) for owner in owners.values() if owner is not None}
        begun |= {
            places.index(owner) for each in past.shown if (owner := _place_of(each, places)) is not None
        }
        if not _has_come_to(position, definition.steps, places, begun, past):
            raise ForkRefused(
                f"the run has not come to the step {quoted(from_step)} · fork from a step that it has come to"
            )
    for place, name in zip(places[:position], names[:position], strict=True):
        target = _target(past.checkpoints.get(block_step(place)))
        if target in names and names.index(target) > position:
            raise ForkRefused(
                f"the run jumped from {quoted(name)} over {quoted(from_step)} to {quoted(target)}"
                " · fork from one of these"
            )
    before = set(places[:position])
    return [key for key, owner in owners.items() if owner in before and past.checkpoints[key].is_done]


def _has_come_to(position: int, steps: Steps, places: list[str], begun: AbstractSet[int], past: Past) -> bool:
    """Tell whether everything before a step has run.

    A step that has begun shows it of all before it. A step that has left nothing, because it failed at once, is next after
    one that has finished, with none between them but steps that leave nothing either.
    """
    if any(number >= position for number in begun):
        return True
    finished = [number for number in range(position) if block_step(places[number]) in past.checkpoints]
    next_one = finished[-1] + 1 if finished else 0
    return all(_leaves_nothing(block) for block in steps[next_one:position])


def _leaves_nothing(block: AnyBlock) -> bool:
    return is_computed(block) and block.display == "hidden" and not nested(block)


def _owner(key: str, places: list[str]) -> str | None:
    """Return the place of the outermost step that a checkpoint belongs to; None for one of the run as a whole."""
    return _place_of(key.partition(":")[2], places)


def _place_of(inner: str, places: list[str]) -> str | None:
    """Return the longest of the places that something is named after, for names of steps may hold any character."""
    fitting = [
        place
        for place in places
        if inner == place or (inner.startswith(place) and inner[len(place)] in _INSIDE)
    ]
    return max(fitting, key=len, default=None)


def _target(checkpoint: Checkpoint | None) -> JsonValue:
    value = None if checkpoint is None else checkpoint.value
    return value.get("goto") if isinstance(value, Mapping) else None
