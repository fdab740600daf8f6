"""What a run knows at a moment: values, conversations, and in which rounds of which loops it stands.

Blocks never change it. Each returns an `Effect`, which is stored when the block has finished and then applied; a replay
applies the stored one. So what a replay sees is what the first run saw, by construction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.definition.blocks import Block
from agent_worker.pipelines.names import LONGEST_PART, shortened
from agent_worker.pipelines.running.pace import MOST_HEARD, weigh
from agent_worker.pipelines.running.usage import LimitExceeded, Used


@dataclass(slots=True)
class Thread:
    """A conversation.

    Attributes:
        setup: What its `start-thread` resolved: `{step, model, backup?, system?, temperature?, thinking?, maxSteps}`.
        messages: Each `{role, content, toolCalls?: [{id, name, arguments}], toolCallId?, visible?: false}`.
    """

    setup: JsonObject
    messages: list[JsonObject] = field(default_factory=list)

    def copy(self) -> Thread:
        """Return a conversation that goes on by itself."""
        return Thread(self.setup, list(self.messages))


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a block did, as JSON can hold it.

    Attributes:
        values: Variables and resources that it wrote.
        started: Conversations that it began: name → `{setup, messages}`.
        messages: Turns that it added to conversations that were there.
        goto: The step of the same list that runs next; None is the one after.
        used: What it used, and what is inside it; known when it has ended.
    """

    values: Mapping[str, JsonValue] = field(default_factory=dict)
    started: Mapping[str, Thread] = field(default_factory=dict)
    messages: Mapping[str, Sequence[JsonObject]] = field(default_factory=dict)
    goto: str | None = None
    used: Used = field(default_factory=Used)

    def as_json(self) -> JsonObject:
        """Return only what is not empty: `{values?, started?, messages?, goto?, used?}`."""
        stored: dict[str, JsonValue] = {}
        if self.values:
            stored["values"] = self.values
        if self.started:
            stored["started"] = {
                name: {"setup": thread.setup, "messages": thread.messages}
                for name, thread in self.started.items()
            }
        if self.messages:
            stored["messages"] = self.messages
        if self.goto is not None:
            stored["goto"] = self.goto
        if self.used != Used():
            stored["used"] = self.used.as_json()
        return stored

    @classmethod
    def read(cls, stored: JsonObject) -> Effect:
        """Return what `as_json` wrote."""
        goto = stored.get("goto")
        return cls(
            values=_mapping(stored.get("values")),
            started={
                name: Thread(_mapping(_mapping(each).get("setup")), _objects(_mapping(each).get("messages")))
                for name, each in _mapping(stored.get("started")).items()
            },
            messages={name: _objects(turns) for name, turns in _mapping(stored.get("messages")).items()},
            goto=goto if isinstance(goto, str) else None,
            used=Used.read(stored.get("used")),
        )


@dataclass(slots=True)
class Scope:
    """The state of one line of steps; `for-each` and `parallel` give each of theirs its own.

    Attributes:
        values: By name: inputs, variables, resources and loop items.
        threads: By name.
        rounds: Positions in the enclosing loops, from the outermost.
        sizes: Characters of the threads, by name.
    """

    values: dict[str, JsonValue]
    threads: dict[str, Thread] = field(default_factory=dict)
    rounds: tuple[int, ...] = ()
    sizes: dict[str, int] = field(default_factory=dict)

    def place(self, block: Block) -> str:
        """Name one execution of a block: its path, and the rounds it runs in. No other execution has that name."""
        path = ".".join(
            shortened(str(part).replace("%", "%25").replace(".", "%2E").replace("/", "%2F"), LONGEST_PART)
            for part in block.path
        )
        return f"{path}@{'.'.join(map(str, self.rounds))}" if self.rounds else path

    def fork(self, *rounds: int) -> Scope:
        """Return a copy to go on with, one loop deeper for each round given."""
        threads = {name: thread.copy() for name, thread in self.threads.items()}
        return Scope(dict(self.values), threads, (*self.rounds, *rounds), dict(self.sizes))

    def apply(self, effect: Effect) -> None:
        """Let a block's effect happen.

        Raises:
            LimitExceeded: The conversations are longer than any model reads.
        """
        self.values.update(effect.values)
        for name, thread in effect.started.items():
            self.threads[name] = thread.copy()
            self.sizes[name] = weigh(thread.setup) + weigh(thread.messages)
        for name, turns in effect.messages.items():
            self.threads[name].messages.extend(turns)
            self.sizes[name] += weigh(turns)
        if (effect.started or effect.messages) and sum(self.sizes.values()) > MOST_HEARD:
            raise LimitExceeded(
                f"The run's conversations have more than {MOST_HEARD // 2**20} Mi characters."
            )

    def since(self, before: Scope) -> Effect:
        """Return the effect that leads from `before`, of which this is a fork, to here."""
        values = {
            name: value
            for name, value in self.values.items()
            if name not in before.values
            or (before.values[name] is not value and before.values[name] != value)
        }
        started, messages = {}, {}
        for name, thread in self.threads.items():
            known = before.threads.get(name)
            if known is None or not _continues(thread, known):
                started[name] = thread
            elif added := thread.messages[len(known.messages) :]:
                messages[name] = added
        return Effect(values=values, started=started, messages=messages)


def _continues(thread: Thread, known: Thread) -> bool:
    return thread.setup == known.setup and thread.messages[: len(known.messages)] == known.messages


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, Mapping) else {}


def _objects(value: JsonValue) -> list[JsonObject]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return []
    return [item for item in value if isinstance(item, Mapping)]
