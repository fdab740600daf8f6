"""`agent-worker pipelines`: definitions of worker pipelines."""

from __future__ import annotations

import typer

from agent_worker.cli.program import PIPELINES_SECTIONS, LazyGroup, plain_typer


class PipelinesGroup(LazyGroup):
    """`validate`, `run`, `replay`, `push`, `list`, `show`, `archive`."""

    sections = PIPELINES_SECTIONS
    prefix = "pipelines_"


group = plain_typer(cls=PipelinesGroup, name="pipelines")


@group.callback(invoke_without_command=True)
def pipelines(ctx: typer.Context) -> None:
    """Check, run, replay and store worker pipelines."""
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
