"""What is wrong with a definition: collected in one pass, each with its place and its line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agent_worker.domain.json import JsonObject, JsonValue

Path: TypeAlias = tuple[str | int, ...]
"""Where something stands: keys and list positions from the root, such as `("steps", "Ask", "files", 0)`."""

Severity: TypeAlias = Literal["error", "warning"]

PROTOCOL = "protocol.yaml"
SETTINGS = "settings.json"

MOST_PROBLEMS = 200
"""Problems kept of one severity; a person mends a few and looks again, and a hostile document has no end of them."""

_MOST_SUGGESTIONS_FROM = 200
_LONGEST_SUGGESTED = 64
_MOST_COMPARISONS = 500
_FEW = 6


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or at least odd.

    Attributes:
        message: A sentence for the author.
        severity: An error makes the definition invalid.
        file: Relative to the definition's folder.
        path: Inside the file, such as `steps.Research.input.TOPIC`; None when the file as a whole is meant.
        line: From 1; None when no line is known.
    """

    message: str
    severity: Severity
    file: str = PROTOCOL
    path: str | None = None
    line: int | None = None

    def as_json(self) -> JsonObject:
        """Return `{message, severity, file, path?, line?}`; what is not known is left out, never null."""
        found: dict[str, JsonValue] = {"message": self.message, "severity": self.severity, "file": self.file}
        if self.path is not None:
            found["path"] = self.path
        if self.line is not None:
            found["line"] = self.line
        return found


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a validation, errors and warnings in order of file and line."""

    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]

    @property
    def valid(self) -> bool:
        """Whether there is no error; warnings do not count."""
        return not self.errors

    def as_json(self) -> JsonObject:
        """Return `{valid, errors, warnings}`."""
        return {
            "valid": self.valid,
            "errors": [each.as_json() for each in self.errors],
            "warnings": [each.as_json() for each in self.warnings],
        }


class Problems:
    """Collects problems; knows the line of a place in `protocol.yaml`.

    Args:
        locate: The line of a path or of its nearest part that exists; None when there is no document.
    """

    def __init__(self, locate: Callable[[Path], int | None]) -> None:
        self._locate = locate
        self._found: dict[Severity, list[Problem]] = {"error": [], "warning": []}
        self._seen: set[Problem] = set()
        self._left_out: dict[Severity, int] = {"error": 0, "warning": 0}
        self._comparisons_left = _MOST_COMPARISONS

    def error(self, path: Path, message: str) -> None:
        """Add an error at a place of the protocol."""
        if self._has_room("error"):
            self.add(Problem(message, "error", path=dotted(path) or None, line=self._locate(path)))

    def warning(self, path: Path, message: str) -> None:
        """Add a warning at a place of the protocol."""
        if self._has_room("warning"):
            self.add(Problem(message, "warning", path=dotted(path) or None, line=self._locate(path)))

    def unknown(self, path: Path, what: str, name: str, known: Collection[str]) -> None:
        """Add an error about a name that nothing has, with the name that was likely meant.

        Args:
            path: Where it stands.
            what: What it should name, such as `tool`.
            name: What was written.
            known: What there is.
        """
        if self._has_room("error"):
            self.error(path, f"there is no {what} {quoted(name)}{self.suggest(name, known)}")

    def suggest(self, name: str, known: Collection[str]) -> str:
        """Return `suggestion`, as long as there were not too many: comparing names takes time."""
        self._comparisons_left -= 1
        return suggestion(name, known) if self._comparisons_left > 0 else ""

    def closest(self, name: str, known: Collection[str]) -> str | None:
        """Return the known name that another one is likely a slip of, within the same bounds."""
        self._comparisons_left -= 1
        return closest(name, known, cutoff=0.8) if self._comparisons_left > 0 else None

    def add(self, problem: Problem) -> None:
        """Add a problem of any file, once."""
        if problem in self._seen or not self._has_room(problem.severity):
            return
        self._seen.add(problem)
        self._found[problem.severity].append(problem)

    def extend(self, problems: Iterable[Problem]) -> None:
        """Add several."""
        for problem in problems:
            self.add(problem)

    @property
    def has_errors(self) -> bool:
        """Whether an error was found so far."""
        return bool(self._found["error"])

    def report(self) -> Report:
        """Return what was found, in order of file and line."""
        return Report(self._ordered("error"), self._ordered("warning"))

    def _has_room(self, severity: Severity) -> bool:
        if len(self._found[severity]) < MOST_PROBLEMS:
            return True
        self._left_out[severity] += 1
        return False

    def _ordered(self, severity: Severity) -> tuple[Problem, ...]:
        found = sorted(self._found[severity], key=lambda each: (each.file, each.line or 0))
        if self._left_out[severity]:
            found.append(Problem(f"there are more {severity}s; these are the first", severity))
        return tuple(found)


def dotted(path: Path) -> str:
    """Write a path: `steps.Research.files[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def quoted(name: str) -> str:
    """Write a name from a document into a message, cut where it is too long to be one."""
    return repr(name if len(name) <= _LONGEST_SUGGESTED else f"{name[:_LONGEST_SUGGESTED]}…")


def suggestion(name: str, known: Collection[str]) -> str:
    """Return `; did you mean X?` or, when there are few to choose from, what there is; else nothing."""
    if (close := closest(name, known)) is not None:
        return f"; did you mean {close!r}?"
    return f"; there is {', '.join(sorted(known))}" if 0 < len(known) <= _FEW else ""


def closest(name: str, known: Collection[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that is most alike, if one is; None as well when there are too many to compare."""
    if len(name) > _LONGEST_SUGGESTED or len(known) > _MOST_SUGGESTIONS_FROM:
        return None
    short = [each for each in known if len(each) <= _LONGEST_SUGGESTED]
    return next(iter(difflib.get_close_matches(name, short, n=1, cutoff=cutoff)), None)
