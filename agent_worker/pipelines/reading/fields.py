"""The fields of one mapping, each asked for by name.

Whoever reads a mapping asks for the fields it may have, and then closes it: what nobody asked for is an error that
suggests one of the names asked for. So the list of known fields cannot differ from what is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from agent_worker.domain.json import JsonValue
from agent_worker.pipelines.durations import HINT, parse_duration, write_duration
from agent_worker.pipelines.problems import Path, Problems, quoted
from agent_worker.pipelines.reading.nodes import ListNode, MapNode, Node, Scalar, describe, plain

Choice = TypeVar("Choice", bound=str)

_DAY_S = 86_400.0
_YEAR_S = 366 * _DAY_S


class Fields:
    """Reads one mapping.

    A field that is absent or empty gives None or the default; one that is wrong gives the same and adds a problem.

    Args:
        node: The mapping.
        path: Where it stands.
        problems: Where mistakes go.
    """

    def __init__(self, node: MapNode, path: Path, problems: Problems) -> None:
        self.path = path
        self.line = node.line
        self.problems = problems
        self._node = node
        self._asked: set[str] = set()

    def close(self) -> None:
        """Report every field that nobody has asked for."""
        for name in self._node.entries:
            if name not in self._asked:
                hint = self.problems.suggest(name, self._asked)
                self.problems.error((*self.path, name), f"there is no field {quoted(name)} here{hint}")

    def has(self, name: str) -> bool:
        """Tell whether a field is there and not empty."""
        return self.node(name) is not None

    def at(self, name: str) -> Path:
        """Return where a field stands."""
        return (*self.path, name)

    def node(self, name: str) -> Node | None:
        """Return a field as it is; None when it is absent or empty."""
        self._asked.add(name)
        entry = self._node.entries.get(name)
        if entry is None or (isinstance(entry.node, Scalar) and entry.node.value is None):
            return None
        return entry.node

    def value(self, name: str) -> tuple[bool, JsonValue]:
        """Return whether a field is there, null included, and its value."""
        self._asked.add(name)
        entry = self._node.entries.get(name)
        return (False, None) if entry is None else (True, plain(entry.node))

    def text(self, name: str) -> str | None:
        """Return a text."""
        match self.node(name):
            case None:
                return None
            case Scalar(value=str() as text):
                return text
            case Scalar() as scalar:
                self._wrong(name, "text", scalar, "; put it in quotes")
            case other:
                self._wrong(name, "text", other)
        return None

    def required_text(self, name: str) -> str:
        """Return a text that must be there; empty when it is not."""
        text = self.text(name)
        if text is None and self.node(name) is None:
            self.missing(name)
        return text or ""

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a truth value."""
        match self.node(name):
            case None:
                return default
            case Scalar(value=bool() as flag):
                return flag
            case other:
                self._wrong(name, "true or false", other)
                return default

    def choice(self, name: str, choices: Sequence[Choice]) -> Choice | None:
        """Return one of a few words."""
        node = self.node(name)
        if node is None:
            return None
        for choice in choices:
            if isinstance(node, Scalar) and node.text == choice:
                return choice
        self._wrong(name, f"one of {', '.join(choices)}", node)
        return None

    def whole(self, name: str, *, at_least: int = 1, at_most: int = 2**53) -> int | None:
        """Return a whole number in a range."""
        node = self.node(name)
        if node is None:
            return None
        if (
            isinstance(node, Scalar)
            and isinstance(node.value, int)
            and not isinstance(node.value, bool)
            and at_least <= node.value <= at_most
        ):
            return node.value
        bounds = f"{at_least:,} and more" if at_most == 2**53 else f"{at_least:,} to {at_most:,}"
        self._wrong(name, f"a whole number, {bounds}", node)
        return None

    def number(self, name: str, *, at_least: float, at_most: float) -> float | None:
        """Return a number in a range."""
        node = self.node(name)
        if node is None:
            return None
        if (
            isinstance(node, Scalar)
            and isinstance(node.value, int | float)
            and not isinstance(node.value, bool)
            and at_least <= node.value <= at_most
        ):
            return float(node.value)
        self._wrong(name, f"a number from {at_least:,.10g} to {at_most:,.10g}", node)
        return None

    def duration(self, name: str, *, at_most_s: float = _YEAR_S) -> float | None:
        """Return the seconds of a duration above zero."""
        node = self.node(name)
        if node is None:
            return None
        seconds = parse_duration(node.text) if isinstance(node, Scalar) else None
        if seconds is None:
            self.problems.error(self.at(name), f"must be a duration, here it is {describe(node)}; {HINT}")
        elif not 0 < seconds <= at_most_s:
            self.problems.error(
                self.at(name), f"must be longer than 0 and at most {write_duration(at_most_s)}"
            )
        else:
            return seconds
        return None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, each once."""
        found: dict[str, None] = {}
        for node, path in self.items(name):
            if not isinstance(node, Scalar) or not isinstance(node.value, str):
                self.problems.error(path, f"must be text, here it is {describe(node)}")
            elif node.value in found:
                self.problems.error(path, f"{quoted(node.value)} is in the list already")
            else:
                found[node.value] = None
        return tuple(found)

    def items(self, name: str) -> Iterator[tuple[Node, Path]]:
        """Yield the items of a list, each with where it stands."""
        match self.node(name):
            case None:
                return
            case ListNode() as found:
                for index, item in enumerate(found.items):
                    yield item, (*self.at(name), index)
            case other:
                self._wrong(name, "a list", other)

    def entries(self, name: str) -> Iterator[tuple[str, Node, Path]]:
        """Yield the keys of a mapping, each with its value and where it stands."""
        match self.node(name):
            case None:
                return
            case MapNode() as found:
                for key, entry in found.entries.items():
                    yield key, entry.node, (*self.at(name), key)
            case other:
                self._wrong(name, "a mapping", other)

    def sections(self, name: str) -> Iterator[tuple[str, Fields]]:
        """Yield the keys of a mapping of mappings, each with its fields; an empty value has none."""
        for key, node, path in self.entries(name):
            if (fields := fields_of(node, path, self.problems)) is not None:
                yield key, fields

    def others(self) -> Iterator[tuple[str, Node, Path]]:
        """Yield every field that nobody has asked for, and count it as asked for."""
        for key, entry in self._node.entries.items():
            if key not in self._asked:
                self._asked.add(key)
                yield key, entry.node, (*self.path, key)

    def section(self, name: str) -> Fields | None:
        """Return the fields of a mapping."""
        node = self.node(name)
        return None if node is None else fields_of(node, self.at(name), self.problems)

    def missing(self, name: str, why: str = "") -> None:
        """Report that a field must be there."""
        self.problems.error(self.path, f"needs the field {name!r}{why}")

    def _wrong(self, name: str, expected: str, node: Node, hint: str = "") -> None:
        shown = (
            quoted(node.value) if isinstance(node, Scalar) and isinstance(node.value, str) else describe(node)
        )
        self.problems.error(self.at(name), f"must be {expected}, here it is {shown}{hint}")


def fields_of(node: Node, path: Path, problems: Problems) -> Fields | None:
    """Return the fields of a node that must be a mapping; an empty one has none."""
    match node:
        case MapNode():
            return Fields(node, path, problems)
        case Scalar(value=None):
            return Fields(MapNode({}, node.line), path, problems)
        case _:
            problems.error(path, f"must be a mapping, here it is {describe(node)}")
            return None
