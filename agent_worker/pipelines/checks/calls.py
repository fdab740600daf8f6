"""Calls of other workers, as far as those are known: do the inputs fit that they are given, and the tools that are lent?"""

from __future__ import annotations

from collections.abc import Mapping

from agent_worker.pipelines.definition.blocks import RunWorker
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.definition.threads import ThreadConfig
from agent_worker.pipelines.definition.values import Constant, Value
from agent_worker.pipelines.problems import Path, Problems, quoted
from agent_worker.pipelines.types.inputs import check_value

_LONGEST_TOOL = 64
"""As providers take it."""


def check_calls(definition: Definition, library: Mapping[str, Definition], problems: Problems) -> None:
    """Check every call of a worker that the library holds, by a step or by a model; others are left to the run."""
    for path, config in definition.threads():
        _check_names(path, config, problems)
    for slug, entry in definition.workers.items():
        if (worker := library.get(slug)) is None:
            continue
        declared: Path = ("workers", slug)
        if not worker.steps:
            problems.error(declared, f"{quoted(slug)} is interactive; only workers can be called")
        for name in entry.tools:
            if name not in worker.tools:
                problems.unknown((*declared, "tools", name), f"tool of {slug}", name, worker.tools.keys())
    for block in definition.blocks():
        if isinstance(block, RunWorker) and (worker := library.get(block.worker)) is not None:
            _check_inputs(block, worker, problems)


def _check_names(path: Path, config: ThreadConfig, problems: Problems) -> None:
    """Report workers that cannot be tools of the thread under the name of their slug."""
    for slug in config.workers:
        if slug in config.tools:
            problems.error((*path, "workers"), f"the thread has a tool that is called {quoted(slug)} as well")
        elif len(slug) > _LONGEST_TOOL:
            message = f"as a tool, a worker has at most {_LONGEST_TOOL} characters in its slug; {quoted(slug)} has more"
            problems.error((*path, "workers"), message)


def _check_inputs(block: RunWorker, worker: Definition, problems: Problems) -> None:
    path: Path = (*block.path, "input")
    for name, value in block.input.items():
        if name not in worker.inputs:
            problems.unknown((*path, name), f"input of {block.worker}", name, worker.inputs.keys())
        elif (message := _misfit(name, value, worker)) is not None:
            problems.error((*path, name), message)
    for name, declared in worker.inputs.items():
        if name not in block.input and not declared.may_be_left_out:
            problems.error(path, f"{block.worker} needs {quoted(name)}")
    if block.output is not None and worker.output is None:
        problems.warning((*block.path, "output"), f"{block.worker} ends without a value")


def _misfit(name: str, value: Value, worker: Definition) -> str | None:
    """Return why a value that stands in the definition does not fit an input; what a variable holds is not known yet."""
    if not isinstance(value, Constant):
        return None
    declared = worker.inputs[name]
    if value.value is None:
        return None if declared.may_be_left_out else "is required, here it is null"
    mismatches = check_value(value.value, declared.shape, worker.types)
    return mismatches[0].problem if mismatches else None
