"""Small definitions for tests."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.problems import Problem
from agent_worker.pipelines.reading.source import ReferenceText, Source
from agent_worker.pipelines.validation import validate

PROMPTS = {"system": "You help.", "ask": "{{TOPIC}}"}

WORKER = """
input:
  TOPIC: {type: string}
variables:
  ANSWER: {type: string}
steps:
  Open:
    block: start-thread
    thread: talk
    model: echo/echo
    system: system
  Ask:
    block: add-message
    thread: talk
    role: user
    prompt: ask
    input: [TOPIC]
  Answer:
    block: next-message
    thread: talk
    output: ANSWER
output: ANSWER
"""

INTERACTIVE = """
agent:
  model: anthropic/claude-sonnet-4-5
  system: system
triggers:
  user-message:
    input:
      USER_MESSAGE: {type: string}
handlers:
  user-message:
    Add message:
      block: add-message
      role: user
      prompt: hello
      input: [USER_MESSAGE]
    Respond:
      block: next-message
"""


def source(
    protocol: str,
    *,
    prompts: Mapping[str, str] | None = None,
    references: Mapping[str, ReferenceText] | None = None,
    form: str = "worker",
) -> Source:
    """A definition with settings that are right."""
    settings = {"slug": "a-worker", "name": "A worker", "format": form}
    given = PROMPTS if prompts is None else prompts
    return Source(settings, textwrap.dedent(protocol), given, references or {})


def definition(protocol: str, **options: object) -> Definition:
    """A definition that must be valid."""
    validation = validate(source(protocol, **options))
    assert validation.definition is not None, [each.message for each in validation.report.errors]
    return validation.definition


def errors(protocol: str, **options: object) -> list[str]:
    """The errors of a definition as `path: message`."""
    return [shown(each) for each in validate(source(protocol, **options)).report.errors]


def warnings(protocol: str, **options: object) -> list[str]:
    """The warnings of a definition that must be valid."""
    validation = validate(source(protocol, **options))
    assert validation.report.valid, [shown(each) for each in validation.report.errors]
    return [shown(each) for each in validation.report.warnings]


def shown(problem: Problem) -> str:
    return f"{problem.path or problem.file}: {problem.message}"


def worker(*, sections: str = "", steps: str = "", output: str = "") -> str:
    """A worker with one thread `talk` and the variables A and B, and more."""
    return (
        "input:\n  TOPIC: {type: string}\n  KIND: {type: string, enum: [x, y]}\n  LIST: {type: 'string[]'}\n"
        "variables:\n  A: {type: unknown}\n  B: {type: unknown}\n"
        + textwrap.dedent(sections)
        + "steps:\n  Open:\n    block: start-thread\n    thread: talk\n    model: echo/echo\n    system: system\n"
        + textwrap.indent(textwrap.dedent(steps), "  ")
        + output
    )
