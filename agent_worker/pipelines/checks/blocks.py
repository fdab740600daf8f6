"""Single blocks: values against the types they meet, choices that can never be taken."""

from __future__ import annotations

from agent_worker.pipelines.checks.prompts import enum_problem
from agent_worker.pipelines.definition.blocks import NextMessage, ToolCall
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.definition.flow import Branch, ForEach, If, Repeat
from agent_worker.pipelines.definition.steps import AnyBlock
from agent_worker.pipelines.definition.values import Constant
from agent_worker.pipelines.problems import Path, Problems, quoted
from agent_worker.pipelines.types.inputs import check_value
from agent_worker.pipelines.types.shapes import LIST, ListType


def check_blocks(definition: Definition, problems: Problems) -> None:
    """Check every block by itself."""
    for block in definition.blocks():
        _check_conditions(block, definition, problems)
        match block:
            case ToolCall():
                _check_arguments(block, definition, problems)
            case Branch():
                _check_cases(block, definition, problems)
            case ForEach():
                _check_list(block, definition, problems)
            case NextMessage():
                _check_answer(block, definition, problems)
            case _:
                pass


def _check_conditions(block: AnyBlock, definition: Definition, problems: Problems) -> None:
    found = [("if", block.condition)]
    if isinstance(block, If):
        found.append(("condition", block.test))
    if isinstance(block, Repeat):
        found.append(("until", block.until))
    for field, condition in found:
        if condition is not None and (message := enum_problem(condition, condition.variable, definition)):
            problems.error((*block.path, field), message)


def _check_arguments(block: ToolCall, definition: Definition, problems: Problems) -> None:
    tool = definition.tools.get(block.tool)
    if tool is None:
        return
    path: Path = (*block.path, "input")
    for name, value in block.input.items():
        if name not in tool.parameters:
            problems.unknown((*path, name), f"parameter of {block.tool}", name, tool.parameters.keys())
        elif isinstance(value, Constant) and not problems.has_errors:
            for mismatch in check_value(value.value, tool.parameters[name].shape, definition.types)[:1]:
                problems.error((*path, name), mismatch.problem)
    for name, parameter in tool.parameters.items():
        if name not in block.input and not parameter.optional:
            problems.error(path, f"{block.tool} needs {quoted(name)}")


def _check_cases(block: Branch, definition: Definition, problems: Problems) -> None:
    shape = definition.shape(block.value)
    if shape is None or not shape.enum:
        return
    for case in block.cases:
        if case not in shape.enum:
            message = f"the case never runs: {block.value} is one of {', '.join(shape.enum)}"
            problems.warning((*block.path, "cases", case), message)
    if block.default and set(shape.enum) <= block.cases.keys():
        problems.warning((*block.path, "default"), "the default never runs: there is a case for each value")


def _check_list(block: ForEach, definition: Definition, problems: Problems) -> None:
    for field, name in (("in", block.items), ("output", block.output)):
        shape = None if name is None else definition.shape(name)
        if shape is None or shape.type in {LIST, "unknown"}:
            continue
        if not isinstance(definition.types.get(shape.type), ListType):
            problems.error((*block.path, field), f"{name} is {quoted(str(shape))}, not a list")


def _check_answer(block: NextMessage, definition: Definition, problems: Problems) -> None:
    shape = None if block.output is None else definition.shape(block.output)
    answer = block.response_type or "string"
    if shape is not None and str(shape) not in {answer, "unknown"}:
        path = (*block.path, "output")
        problems.warning(path, f"the answer is {quoted(answer)}, and {block.output} is {quoted(str(shape))}")
