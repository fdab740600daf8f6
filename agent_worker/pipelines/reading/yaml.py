"""YAML 1.2 with its core schema, as nodes with lines.

Tools around this format read YAML 1.2, where `off`, `yes`, `16:9` and `2024-01-01` are text, `010` is ten and a key that
comes twice is an error; readers of YAML 1.1 change documented files in silence. So only the scanner and the parser of
ruamel.yaml are used, and scalars are resolved here: https://yaml.org/spec/1.2.2/#103-core-schema.

Documents come from strangers. Size, depth and the number of nodes are bounded, an alias counts as all it stands for, and
nothing here recurses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from agent_worker.pipelines.problems import quoted
from agent_worker.pipelines.reading.nodes import Entry, ListNode, MapNode, Node, Scalar, ScalarValue

MAX_BYTES = 1024 * 1024
"""Largest document, in bytes of UTF-8."""
MAX_DEPTH = 40
"""Deepest nesting of lists and mappings."""
MAX_NODES = 50_000
"""Most values in a document, aliases expanded."""

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LONGEST_NUMBER = 40
_LARGEST_INTEGER = 2**63

_CORE = "tag:yaml.org,2002:"
_TAGS = frozenset(
    {None, "!", *(f"{_CORE}{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))}
)


_Tagged: TypeAlias = ScalarEvent | MappingStartEvent | SequenceStartEvent


class YamlError(Exception):
    """The text is no document.

    Args:
        message: What is wrong with it.
        line: From 1; None when the text as a whole is meant.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def read_yaml(text: str) -> tuple[Node, list[YamlError]]:
    """Read one document.

    Returns:
        The document, and mistakes that leave it readable: keys that come twice (the first one counts), unknown tags.

    Raises:
        YamlError: It cannot be read, or is too large.
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise YamlError(f"the document is larger than {MAX_BYTES // 1024} KiB")
    building = _Building()
    try:
        # Without a list of plug-ins it would search its folder for some, which takes as long as a small document.
        for event in YAML(typ="safe", pure=True, plug_ins=[]).parse(text):
            building.take(event)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = error.problem or error.context or "this is no YAML"
        raise YamlError(f"YAML: {message}", None if mark is None else mark.line + 1) from None
    except YAMLError as error:
        raise YamlError(f"YAML: {str(error).partition(chr(10))[0]}") from None
    except (ValueError, IndexError, OverflowError, AssertionError, AttributeError) as error:
        # The scanner trips over some malformed escapes and directives with errors of Python's own.
        raise YamlError("YAML: this cannot be read") from error
    if building.root is None:
        raise YamlError("the document is empty")
    return building.root, building.mistakes


@dataclass(slots=True)
class _Frame:
    """A list or mapping whose end has not come yet."""

    line: int
    is_mapping: bool
    anchor: str | None
    size: int = 1
    height: int = 1
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    key: tuple[str, int] | None = None
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class _Anchored:
    node: Node
    size: int
    height: int


class _Building:
    """Puts a document together from the parser's events."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.mistakes: list[YamlError] = []
        self._open: list[_Frame] = []
        self._anchors: dict[str, _Anchored] = {}
        self._count = 0
        self._documents = 0

    def take(self, event: Event) -> None:
        """Add what an event says."""
        line = event.start_mark.line + 1
        match event:
            case DocumentStartEvent():
                self._begin(event, line)
            case AliasEvent():
                anchored = self._anchors.get(event.anchor)
                if anchored is None:
                    raise YamlError(f"there is no anchor {quoted(event.anchor)} to refer to", line)
                self._place(anchored.node, anchored.size, anchored.height, line)
            case ScalarEvent():
                self._check_tag(event, line)
                scalar = _resolve(event, line)
                self._remember(event.anchor, scalar, 1, 0)
                self._place(scalar, 1, 0, line)
            case MappingStartEvent() | SequenceStartEvent():
                self._check_tag(event, line)
                self._open.append(_Frame(line, isinstance(event, MappingStartEvent), event.anchor))
                self._check_depth(0, line)
            case MappingEndEvent() | SequenceEndEvent():
                self._close()
            case _:
                pass

    def _begin(self, event: DocumentStartEvent, line: int) -> None:
        self._documents += 1
        if self._documents > 1:
            raise YamlError("there is a second document; a definition is one", line)
        if event.version not in {None, (1, 2)}:
            raise YamlError("definitions are YAML 1.2; remove the %YAML line", line)

    def _place(self, node: Node, size: int, height: int, line: int) -> None:
        self._count += size
        if self._count > MAX_NODES:
            raise YamlError(f"the document has more than {MAX_NODES:,} values, aliases expanded", line)
        self._check_depth(height, line)
        if not self._open:
            self.root = node
            return
        frame = self._open[-1]
        frame.size += size
        frame.height = max(frame.height, height + 1)
        if not frame.is_mapping:
            frame.items.append(node)
        elif frame.key is None:
            self._set_key(frame, node, line)
        else:
            key, key_line = frame.key
            frame.key = None
            if not frame.is_repeated:
                frame.entries[key] = Entry(key_line, node)

    def _set_key(self, frame: _Frame, node: Node, line: int) -> None:
        if not isinstance(node, Scalar):
            raise YamlError("a key must be a single word or text, not a list or mapping", line)
        frame.key = (node.text, line)
        frame.is_repeated = node.text in frame.entries
        if frame.is_repeated:
            first = frame.entries[node.text].line
            message = f"the key {quoted(node.text)} comes twice; it stands in line {first} already"
            self.mistakes.append(YamlError(message, line))

    def _close(self) -> None:
        frame = self._open.pop()
        node: Node = (
            MapNode(frame.entries, frame.line)
            if frame.is_mapping
            else ListNode(tuple(frame.items), frame.line)
        )
        self._remember(frame.anchor, node, frame.size, frame.height)
        # Its children were counted one by one.
        self._count -= frame.size - 1
        self._place(node, frame.size, frame.height, frame.line)

    def _remember(self, anchor: str | None, node: Node, size: int, height: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = _Anchored(node, size, height)

    def _check_depth(self, height: int, line: int) -> None:
        if len(self._open) + height > MAX_DEPTH:
            raise YamlError(f"the document is nested more than {MAX_DEPTH} deep", line)

    def _check_tag(self, event: _Tagged, line: int) -> None:
        tag = None if event.tag is None else str(event.tag)
        if tag not in _TAGS:
            self.mistakes.append(YamlError(f"the tag {quoted(str(tag))} means nothing here", line))


def _resolve(event: ScalarEvent, line: int) -> Scalar:
    text: str = event.value
    tag = None if event.tag is None else str(event.tag)
    is_plain = event.implicit[0] or tag in {f"{_CORE}{name}" for name in ("int", "float", "bool", "null")}
    return Scalar(_core(text, line) if is_plain else text, text, line)


def _core(text: str, line: int) -> ScalarValue:
    """Resolve a plain scalar by the core schema."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text[0] not in "+-.0123456789":
        return text
    return next((number for number in _numbers(text, line)), text)


def _numbers(text: str, line: int) -> Iterator[int | float]:
    is_number = _INTEGER.fullmatch(text) or _FLOAT.fullmatch(text)
    if (is_number and len(text) > _LONGEST_NUMBER) or _NOT_FINITE.fullmatch(text):
        raise YamlError(f"the number {text[:20]} cannot be written as JSON; put it in quotes", line)
    if _INTEGER.fullmatch(text):
        yield _bounded(int(text), text, line)
    elif _OCTAL.fullmatch(text):
        yield _bounded(int(text, 8), text, line)
    elif _HEXADECIMAL.fullmatch(text):
        yield _bounded(int(text, 16), text, line)
    elif is_number:
        number = float(text)
        if math.isinf(number):
            raise YamlError(f"the number {text} is too large; put it in quotes", line)
        yield number


def _bounded(number: int, text: str, line: int) -> int:
    if not -_LARGEST_INTEGER <= number < _LARGEST_INTEGER:
        raise YamlError(f"the number {text[:20]} is too large; put it in quotes", line)
    return number
