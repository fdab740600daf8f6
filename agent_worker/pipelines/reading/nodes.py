"""A document as nodes that know their lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from agent_worker.domain.json import JsonValue
from agent_worker.pipelines.problems import Path

ScalarValue: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value.

    Attributes:
        value: As YAML 1.2's core schema reads it.
        text: As it was written, without quotes.
        line: From 1; None in a document that has no lines.
    """

    value: ScalarValue
    text: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class ListNode:
    """A sequence."""

    items: tuple[Node, ...]
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's line and what stands under it."""

    line: int | None
    node: Node


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping, in the order of the document."""

    entries: Mapping[str, Entry]
    line: int | None = None


Node: TypeAlias = Scalar | ListNode | MapNode


def plain(node: Node) -> JsonValue:
    """Return a node's value without its lines. Documents are shallow, so this may recurse."""
    match node:
        case Scalar():
            return node.value
        case ListNode():
            return [plain(item) for item in node.items]
        case MapNode():
            return {key: plain(entry.node) for key, entry in node.entries.items()}


def line_of(root: Node | None, path: Path) -> int | None:
    """Return the line of what stands at a path, or of its nearest ancestor."""
    node, line = root, None if root is None else root.line
    for part in path:
        match node, part:
            case MapNode(), str() if part in node.entries:
                entry = node.entries[part]
                node, line = entry.node, entry.line
            case ListNode(), int() if 0 <= part < len(node.items):
                node = node.items[part]
                line = node.line
            case _:
                return line
    return line


def describe(node: Node) -> str:
    """Say what a node is, for a message: `the number 5`, `a list`."""
    match node:
        case ListNode():
            return "a list"
        case MapNode():
            return "a mapping"
        case Scalar(value=None):
            return "empty"
        case Scalar(value=bool()):
            return f"the truth value {node.text}"
        case Scalar(value=str()):
            return "text"
        case _:
            return f"the number {node.text[:40]}"
