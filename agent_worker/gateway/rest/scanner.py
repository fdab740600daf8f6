"""A place in a text, and what may stand there: the ground that the grammar stands on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Item = TypeVar("Item")

_BARE = frozenset("_$ \t")
_RESERVED_IN_KEYS = frozenset("(-:.,>)")
MAX_DEPTH = 32
"""Deepest nesting of parentheses; a deeper one is no request that a person wrote."""


class SyntaxProblem(Exception):
    """A text does not fit the grammar.

    Args:
        column: Where, from 1.
        problem: What stands there and what was expected, as PostgREST words it.
    """

    def __init__(self, column: int, problem: str) -> None:
        super().__init__(problem)
        self.column = column
        self.problem = problem


class Scanner:
    """Reads a text from left to right.

    Args:
        text: The text.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    @property
    def rest(self) -> str:
        """What has not been read yet."""
        return self.text[self.at :]

    @property
    def is_done(self) -> bool:
        """Whether everything has been read."""
        return self.at >= len(self.text)

    def sees(self, text: str) -> bool:
        """Whether this text comes next."""
        return self.text.startswith(text, self.at)

    def takes(self, text: str) -> bool:
        """Read a text if it comes next, and tell whether it did."""
        if not self.sees(text):
            return False
        self.at += len(text)
        return True

    def expect(self, text: str, called: str = "") -> None:
        """Read a text.

        Raises:
            SyntaxProblem: Something else comes next.
        """
        if not self.takes(text):
            raise self.problem(called or f'"{text}"')

    def problem(self, expected: str) -> SyntaxProblem:
        """Return what is wrong here."""
        found = "end of input" if self.is_done else f'"{self.text[self.at]}"'
        return SyntaxProblem(self.at + 1, f"unexpected {found} expecting {expected}")

    def end(self) -> None:
        """Make sure that nothing is left.

        Raises:
            SyntaxProblem: Something is.
        """
        if not self.is_done:
            raise self.problem("end of input")

    def skip_blanks(self) -> None:
        """Read blanks, if there are any."""
        while not self.is_done and self.text[self.at] in " \t":
            self.at += 1

    def until(self, stops: str) -> str:
        """Read up to one of these characters, or to the end."""
        start = self.at
        while not self.is_done and self.text[self.at] not in stops:
            self.at += 1
        return self.text[start : self.at]

    def nested(self, read: Callable[[], Item]) -> Item:
        """Read something that may contain itself.

        Raises:
            SyntaxProblem: It does so too deeply.
        """
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise SyntaxProblem(self.at + 1, f"nested deeper than {MAX_DEPTH} levels")
        found = read()
        self.depth -= 1
        return found

    def quoted(self) -> str:
        """Read a text in double quotes, in which a backslash takes the next character as it is.

        Raises:
            SyntaxProblem: The quotes do not end.
        """
        self.expect('"')
        found: list[str] = []
        while not self.is_done and not self.sees('"'):
            self.takes("\\")
            found.append(self.text[self.at : self.at + 1])
            self.at += 1
        self.expect('"')
        return "".join(found)

    def name(self) -> str:
        """Read the name of a column or a relation; dashes may stand within it.

        Raises:
            SyntaxProblem: There is none.
        """
        if self.sees('"'):
            return self.quoted()
        found = self._dashed(lambda char: char.isalnum() or char in _BARE)
        if not found:
            raise self.problem("field name (* or [a..z0..9_$])")
        return found

    def key(self) -> str:
        """Read the name of a member of a JSON object.

        Raises:
            SyntaxProblem: There is none.
        """
        if self.sees('"'):
            return self.quoted()
        found = self._dashed(lambda char: char not in _RESERVED_IN_KEYS)
        if not found:
            raise self.problem("any non reserved character different from: .,>()")
        return found

    def identifier(self, called: str = "letter or digit") -> str:
        """Read a name without dashes, such as a type's.

        Raises:
            SyntaxProblem: There is none.
        """
        start = self.at
        while not self.is_done and (self.text[self.at].isalnum() or self.text[self.at] in _BARE):
            self.at += 1
        if found := self.text[start : self.at].strip():
            return found
        raise self.problem(called)

    def _dashed(self, fits: Callable[[str], bool]) -> str:
        start = self.at
        while not self.is_done:
            char = self.text[self.at]
            # A dash belongs to the name, an arrow ends it, and so does a dash with nothing after it.
            within = char == "-" and self.at > start and fits(self.text[self.at + 1 : self.at + 2] or ">")
            if not (within or fits(char)):
                break
            self.at += 1
        return self.text[start : self.at].strip()
