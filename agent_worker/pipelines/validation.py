"""The front door: texts go in, a report comes out, and a definition when there is no error."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent_worker.domain.errors import InvalidPayload
from agent_worker.pipelines.checks.available import check_available
from agent_worker.pipelines.checks.blocks import check_blocks
from agent_worker.pipelines.checks.calls import check_calls
from agent_worker.pipelines.checks.order import check_order
from agent_worker.pipelines.checks.prompts import check_prompts
from agent_worker.pipelines.checks.types import check_types
from agent_worker.pipelines.checks.usage import check_usage
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.problems import Path, Problem, Problems, Report
from agent_worker.pipelines.reading.document import read_definition, read_settings
from agent_worker.pipelines.reading.fields import Fields
from agent_worker.pipelines.reading.nodes import MapNode, Node, describe, line_of
from agent_worker.pipelines.reading.source import Source, too_large
from agent_worker.pipelines.reading.yaml import YamlError, read_yaml


@dataclass(frozen=True, slots=True)
class Validation:
    """What validating came to.

    Attributes:
        report: All errors and warnings.
        definition: None when there is an error.
    """

    report: Report
    definition: Definition | None


def validate(source: Source, *, library: Mapping[str, Definition] | None = None) -> Validation:
    """Check a definition by every rule in one pass. Whatever the source holds, this returns.

    Takes up to some seconds for the largest documents: call it in a thread from an event loop.

    Args:
        source: Its texts.
        library: Workers by slug, valid ones, against which its calls are checked; calls of others are not.

    Example:
        ```python
        validation = validate(read_folder(Path("examples/pipelines/summarise")))
        for problem in validation.report.errors:
            print(problem.file, problem.line, problem.message)
        ```
    """
    large = [
        *too_large("prompts", source.prompts),
        *too_large("references", {name: each.content for name, each in source.references.items()}),
    ]
    if large:
        return Validation(Report((*source.problems, *large), ()), None)
    root, found = _read(source.protocol)

    def locate(path: Path) -> int | None:
        return line_of(root, path)

    problems = Problems(locate)
    problems.extend((*source.problems, *found))
    if not isinstance(root, MapNode):
        read_settings(source.settings, problems, fallback="worker")
        return Validation(problems.report(), None)
    definition = read_definition(source, Fields(root, (), problems))
    for check in (check_types, check_prompts, check_order, check_blocks, check_usage, check_available):
        check(definition, problems)
    check_calls(definition, library or {}, problems)
    report = problems.report()
    return Validation(report, definition if report.valid else None)


def validate_together(sources: Sequence[Source]) -> list[Validation]:
    """Check each definition, and then its calls of those of the others that are valid by themselves."""
    alone = [validate(source) for source in sources]
    known = [each.definition for each in alone if each.definition is not None]
    library = {each.settings.slug: each for each in known}

    def calls_known(each: Validation) -> bool:
        return each.definition is not None and not library.keys().isdisjoint(each.definition.workers)

    return [
        validate(source, library=library) if calls_known(each) else each
        for source, each in zip(sources, alone, strict=True)
    ]


def load(source: Source, *, path: str = "$") -> Definition:
    """Return a definition that must be valid.

    Args:
        source: Its texts.
        path: Where they stand in a payload, for the message.

    Raises:
        InvalidPayload: It is not; names the first error and how many there are.
    """
    validation = validate(source)
    if validation.definition is None:
        raise _invalid(validation.report, path)
    return validation.definition


def check_together(definition: Definition, library: Mapping[str, Definition]) -> None:
    """Hold the calls of a definition and of the workers that it may call to what those take.

    Args:
        definition: A valid one.
        library: Workers by slug, valid ones.

    Raises:
        InvalidPayload: A call does not fit; names the first error and how many there are.
    """
    for path, caller in (("$", definition), *((f"$.workers.{slug}", each) for slug, each in library.items())):
        if not caller.workers:
            continue
        lines = {block.path: block.line for block in caller.blocks()}
        problems = Problems(functools.partial(_line_of_block, lines))
        check_calls(caller, library, problems)
        if problems.has_errors:
            raise _invalid(problems.report(), path)


def _line_of_block(lines: Mapping[Path, int | None], path: Path) -> int | None:
    """Return the line of the block around a place: after reading, no other lines are known."""
    around = (lines[path[:length]] for length in range(len(path), 0, -1) if path[:length] in lines)
    return next(around, None)


def _invalid(report: Report, path: str) -> InvalidPayload:
    first, *more = report.errors
    place = ":".join(str(part) for part in (first.file, first.line, first.path) if part is not None)
    also = f" (and {len(more)} more errors)" if more else ""
    return InvalidPayload(f"is no valid definition: {place}: {first.message}{also}", path=path)


def _read(text: str | None) -> tuple[Node | None, list[Problem]]:
    if text is None:
        return None, []
    try:
        root, mistakes = read_yaml(text)
    except YamlError as error:
        return None, [Problem(error.message, "error", line=error.line)]
    found = [Problem(each.message, "error", line=each.line) for each in mistakes]
    if not isinstance(root, MapNode):
        message = f"a definition is a mapping of sections, here it is {describe(root)}"
        found.append(Problem(message, "error", line=root.line))
    return root, found
