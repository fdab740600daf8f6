"""Read a prompt, in one pass over its text.

`{{NAME}}` is a variable, `{{@path.md}}` another prompt, `{{#if …}}`, `{{else if …}}`, `{{else}}` and `{{/if}}` choose what is
shown. Anything else in double braces is text. A line that holds nothing but one of the four conditional tags vanishes
with its line break, so that a list with conditions in it keeps its shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from agent_worker.pipelines.conditions import HINT, Condition, parse_condition
from agent_worker.pipelines.names import is_variable
from agent_worker.pipelines.prompts.template import (
    Case,
    Conditional,
    IncludeTag,
    Mistake,
    Part,
    Template,
    Text,
    VariableTag,
)

MAX_DEPTH = 32
"""Deepest nesting of conditionals."""

_OPEN, _CLOSE = "{{", "}}"
_BLANK = " \t\r"
_SUFFIX = ".md"

_Kind: TypeAlias = Literal["if", "elif", "else", "end"]


@dataclass(slots=True)
class _Piece:
    """A run of text, or what stands between a pair of double braces."""

    text: str
    line: int
    is_tag: bool
    is_line_start: bool = False


@dataclass(slots=True)
class _Frame:
    """A conditional whose end has not come yet, or the prompt itself."""

    line: int
    condition: Condition | None = None
    case_line: int = 0
    has_else: bool = False
    cases: list[Case] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    def end_case(self) -> None:
        """Put what has come since the last tag under its condition."""
        self.cases.append(Case(self.condition, tuple(self.parts), self.case_line))
        self.parts = []


def parse_template(text: str) -> Template:
    """Read a prompt; never fails, but notes mistakes. Time is linear in the text's length."""
    parser = _Parser()
    for piece in _without_tag_lines(list(_pieces(text))):
        parser.take(piece)
    return parser.finish()


class _Parser:
    """Puts a template together."""

    def __init__(self) -> None:
        self._root = _Frame(line=1)
        self._open: list[_Frame] = []
        self._mistakes: list[Mistake] = []
        self._too_deep = 0

    def take(self, piece: _Piece) -> None:
        """Add a piece."""
        kind = _conditional_kind(piece)
        if kind is not None:
            self._take_conditional(kind, piece)
        elif not piece.is_tag:
            self._add(Text(piece.text))
        elif is_variable(piece.text):
            self._add(VariableTag(piece.text, piece.line))
        elif piece.text.startswith("@"):
            self._take_include(piece)
        else:
            self._add(Text(f"{_OPEN}{piece.text}{_CLOSE}"))
            if is_variable(bare := piece.text.strip()):
                message = (
                    f"{_OPEN}{piece.text}{_CLOSE} is text, because of the blanks; write {_OPEN}{bare}{_CLOSE}"
                )
                self._mistakes.append(Mistake(message, piece.line, is_error=False))

    def finish(self) -> Template:
        """Return the template."""
        for frame in self._open:
            self._error("{{#if}} has no {{/if}}", frame.line)
        return Template(tuple(self._root.parts), tuple(self._mistakes))

    def _take_include(self, piece: _Piece) -> None:
        path = piece.text[1:].strip()
        if not path.endswith(_SUFFIX) or path == _SUFFIX:
            self._error(f"an include names a file, such as {{{{@shared/tone{_SUFFIX}}}}}", piece.line)
            return
        self._add(IncludeTag(path.removesuffix(_SUFFIX), piece.line))

    def _take_conditional(self, kind: _Kind, piece: _Piece) -> None:
        if kind == "if":
            self._begin(piece)
        elif self._too_deep:
            self._too_deep -= kind == "end"
        elif not self._open:
            self._error(f"{_OPEN}{piece.text.strip()[:40]}{_CLOSE} has no {{{{#if}}}} before it", piece.line)
        elif kind == "end":
            frame = self._open.pop()
            frame.end_case()
            self._add(Conditional(tuple(frame.cases)))
        else:
            self._next_case(kind, piece)

    def _begin(self, piece: _Piece) -> None:
        if self._too_deep or len(self._open) == MAX_DEPTH:
            if not self._too_deep:
                self._error(f"{{{{#if}}}} is nested more than {MAX_DEPTH} deep", piece.line)
            self._too_deep += 1
            return
        condition = self._condition(piece.text.strip().removeprefix("#if"), piece.line)
        self._open.append(_Frame(piece.line, condition, piece.line))

    def _next_case(self, kind: _Kind, piece: _Piece) -> None:
        frame = self._open[-1]
        if frame.has_else:
            self._error(
                f"{_OPEN}{piece.text.strip()[:40]}{_CLOSE} cannot come after {{{{else}}}}", piece.line
            )
        frame.end_case()
        frame.case_line = piece.line
        frame.has_else = frame.has_else or kind == "else"
        words = piece.text.strip().removeprefix("else").lstrip().removeprefix("if")
        frame.condition = self._condition(words, piece.line) if kind == "elif" else None

    def _condition(self, text: str, line: int) -> Condition | None:
        condition = parse_condition(text)
        if condition is None:
            self._error(f"this is no condition; {HINT}", line)
        return condition

    def _add(self, part: Part) -> None:
        if not self._too_deep:
            (self._open[-1] if self._open else self._root).parts.append(part)

    def _error(self, message: str, line: int) -> None:
        self._mistakes.append(Mistake(message, line))


def _pieces(text: str) -> Iterator[_Piece]:
    """Cut a prompt at its double braces; of several that open, the last one before those that close counts."""
    position, line = 0, 1
    while (close := text.find(_CLOSE, position)) != -1:
        start = text.rfind(_OPEN, position, close)
        # Three closing braces in a row: the tag ends with the first two.
        end = close + len(_CLOSE)
        before = text[position : end if start == -1 else start]
        if before:
            yield _Piece(before, line, is_tag=False)
            line += before.count("\n")
        if start != -1:
            inside = text[start + len(_OPEN) : close]
            yield _Piece(inside, line, is_tag=True)
            line += inside.count("\n")
        position = end
    if position < len(text):
        yield _Piece(text[position:], line, is_tag=False)


def _without_tag_lines(pieces: list[_Piece]) -> Iterator[_Piece]:
    """Take out the blanks and the line break around each conditional tag that has a line to itself."""
    if pieces:
        pieces[0].is_line_start = True
    # Nothing but a line's begin and end stand before the first piece and after the last.
    edges = [_Piece("", 1, is_tag=False, is_line_start=True), *pieces, _Piece("\n", 0, is_tag=False)]
    for before, piece, after in zip(edges, pieces, edges[2:], strict=False):
        if _conditional_kind(piece) is None:
            continue
        indent = _blanks_at_end(before)
        rest = _blanks_at_start(after)
        if indent is None or rest is None:
            continue
        before.text = before.text[: len(before.text) - indent]
        after.text = after.text[rest:]
        after.is_line_start = True
    yield from (piece for piece in pieces if piece.is_tag or piece.text)


def _blanks_at_end(piece: _Piece) -> int | None:
    """Count the blanks between the begin of a piece's last line and its end; None when there is something else."""
    if piece.is_tag:
        return None
    stripped = piece.text.rstrip(_BLANK)
    is_blank_line = stripped.endswith("\n") or (not stripped and piece.is_line_start)
    return len(piece.text) - len(stripped) if is_blank_line else None


def _blanks_at_start(piece: _Piece) -> int | None:
    """Count the blanks up to a piece's first line break, and it; None when there is something else."""
    if piece.is_tag:
        return None
    stripped = piece.text.lstrip(_BLANK)
    return len(piece.text) - len(stripped) + 1 if stripped.startswith("\n") else None


def _conditional_kind(piece: _Piece) -> _Kind | None:
    if not piece.is_tag:
        return None
    words = piece.text.split(None, 2)
    match words:
        case ["#if", *_]:
            return "if"
        case ["else", "if", *_]:
            return "elif"
        case ["else"]:
            return "else"
        case ["/if"]:
            return "end"
        case _:
            return None
