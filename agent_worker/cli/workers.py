"""`agent-worker workers`: who works."""

from __future__ import annotations

import typer

from agent_worker.cli.program import WORKERS_SECTIONS, LazyGroup, plain_typer


class WorkersGroup(LazyGroup):
    """`list`, `drain`."""

    sections = WORKERS_SECTIONS
    prefix = "workers_"


group = plain_typer(cls=WorkersGroup, name="workers")


@group.callback(invoke_without_command=True)
def workers(ctx: typer.Context) -> None:
    """List workers, and have one leave."""
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
