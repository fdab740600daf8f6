"""`agent-worker schedules`: tasks that the clock inserts."""

from __future__ import annotations

import typer

from agent_worker.cli.program import SCHEDULES_SECTIONS, LazyGroup, plain_typer


class SchedulesGroup(LazyGroup):
    """`add`, `list`, `remove`."""

    sections = SCHEDULES_SECTIONS
    prefix = "schedules_"


group = plain_typer(cls=SchedulesGroup, name="schedules")


@group.callback(invoke_without_command=True)
def schedules(ctx: typer.Context) -> None:
    """Add, list and remove schedules: tasks inserted by the clock."""
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
