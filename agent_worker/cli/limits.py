"""`agent-worker limits`: how many tasks may run at once, and how many may start in a while."""

from __future__ import annotations

import typer

from agent_worker.cli.program import LIMITS_SECTIONS, LazyGroup, plain_typer


class LimitsGroup(LazyGroup):
    """`set`, `list`, `remove`."""

    sections = LIMITS_SECTIONS
    prefix = "limits_"


group = plain_typer(cls=LimitsGroup, name="limits")


@group.callback(invoke_without_command=True)
def limits(ctx: typer.Context) -> None:
    """Set, list and remove limits on what runs at once and what starts in a while."""
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
