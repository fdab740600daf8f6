"""`agent-worker tasks`: the commands about single tasks."""

from __future__ import annotations

import typer

from agent_worker.cli.program import TASKS_SECTIONS, LazyGroup, plain_typer


class TasksGroup(LazyGroup):
    """`list`, `show`, `cancel`, `retry`, `answer`."""

    sections = TASKS_SECTIONS
    prefix = "tasks_"


group = plain_typer(cls=TasksGroup, name="tasks")


@group.callback(invoke_without_command=True)
def tasks(ctx: typer.Context) -> None:
    """List, show, cancel, retry and answer tasks."""
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
