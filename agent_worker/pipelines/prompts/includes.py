"""Which prompts a prompt brings in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

from agent_worker.pipelines.problems import MOST_PROBLEMS, quoted, suggestion
from agent_worker.pipelines.prompts.render import MAX_INCLUDE_DEPTH
from agent_worker.pipelines.prompts.template import Template


@dataclass(frozen=True, slots=True)
class BadInclude:
    """An include that cannot be followed.

    Attributes:
        prompt: Where it stands.
        line: Its line there.
    """

    prompt: str
    line: int
    message: str


def check_includes(prompts: Mapping[str, Template]) -> list[BadInclude]:
    """Return includes of prompts that do not exist, that go in a circle, or in too long a chain."""
    return list(islice(chain(_missing(prompts), _unending(prompts)), MOST_PROBLEMS))


def closure(name: str, prompts: Mapping[str, Template]) -> list[str]:
    """Return a prompt and all that it brings in, each once."""
    found: dict[str, None] = {}
    todo = [name]
    while todo:
        current = todo.pop()
        if current in prompts and current not in found:
            found[current] = None
            todo.extend(tag.name for tag in prompts[current].includes())
    return list(found)


def _missing(prompts: Mapping[str, Template]) -> Iterator[BadInclude]:
    for name, template in prompts.items():
        for tag in template.includes():
            if tag.name not in prompts:
                message = f"there is no prompt {quoted(tag.name)}{suggestion(tag.name, prompts.keys())}"
                yield BadInclude(name, tag.line, message)


def _unending(prompts: Mapping[str, Template]) -> Iterator[BadInclude]:
    heights: dict[str, int] = {}
    for name in prompts:
        yield from _circles(name, prompts, heights)
    for name, height in heights.items():
        if height > MAX_INCLUDE_DEPTH:
            yield BadInclude(name, 1, f"its includes form a chain longer than {MAX_INCLUDE_DEPTH}")


def _circles(start: str, prompts: Mapping[str, Template], heights: dict[str, int]) -> Iterator[BadInclude]:
    """Follow includes depth first, without recursion; put the length of each prompt's longest chain into `heights`."""
    if start in heights:
        return
    path: dict[str, int] = {start: 1}
    stack = [(start, prompts[start].includes())]
    while stack:
        name, tags = stack[-1]
        tag = next(tags, None)
        if tag is None:
            stack.pop()
            heights[name] = path.pop(name)
            if stack:
                parent = stack[-1][0]
                path[parent] = max(path[parent], heights[name] + 1)
        elif tag.name in path:
            names = [*list(path)[list(path).index(tag.name) :], tag.name]
            yield BadInclude(name, tag.line, f"includes go in a circle: {' → '.join(names[:6])}")
        elif tag.name in heights:
            path[name] = max(path[name], heights[tag.name] + 1)
        elif tag.name in prompts:
            path[tag.name] = 1
            stack.append((tag.name, prompts[tag.name].includes()))
