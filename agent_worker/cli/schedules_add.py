"""`agent-worker schedules add`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from agent_worker.cli.options import AsJson, DatabaseUrl, json_object
from agent_worker.cli.schedules_list import firing
from agent_worker.cli.screen import one_line, print_json
from agent_worker.cli.session import read_settings, with_database
from agent_worker.cli.submit import warn_if_nobody_offers
from agent_worker.db.connection import Database
from agent_worker.db.schedules import Schedules
from agent_worker.domain.records import NewSchedule, Schedule


def schedules_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that no other schedule has.")],
    *,
    cron: Annotated[
        str,
        typer.Option(
            metavar="CRON", help="Minute, hour, day of month, month, day of week; or a word such as @daily."
        ),
    ],
    kind: Annotated[str, typer.Option(metavar="KIND", help="Which processor answers.")],
    timezone: Annotated[
        str, typer.Option(metavar="ZONE", help="Where CRON is read, such as Europe/Berlin.")
    ] = "UTC",
    payload: Annotated[
        str | None, typer.Option(metavar="JSON", help="The input of each task, a JSON object.")
    ] = None,
    priority: Annotated[int, typer.Option(metavar="0-9", help="Higher first.")] = 0,
    max_attempts: Annotated[int, typer.Option(metavar="N", help="Attempts allowed, 1 to 25.")] = 3,
    timeout_s: Annotated[int | None, typer.Option(metavar="S", help="Limit of one attempt.")] = None,
    tenant: Annotated[str | None, typer.Option(metavar="ID", help="The tasks' enterprise_id.")] = None,
    user: Annotated[UUID | None, typer.Option(metavar="ID", help="The tasks' user_id.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over the schedule of this name.")] = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Insert a task again and again, by the clock.

    Each slot of CRON inserts one task, on however many workers; slots missed while nothing ran become one late task.
    --json prints the schedule's row.
    """
    new = NewSchedule(
        name=name,
        cron=cron,
        timezone=timezone,
        kind=kind,
        request_payload={} if payload is None else json_object("--payload", payload),
        priority=priority,
        max_attempts=max_attempts,
        timeout_s=timeout_s,
        enterprise_id=tenant,
        user_id=user,
    )

    async def work(db: Database) -> Schedule:
        schedules = Schedules(db)
        written = await (schedules.replace(new) if replace else schedules.add(new))
        await warn_if_nobody_offers(db, kind)
        return written

    added = with_database(read_settings(database_url=database_url), work)
    if as_json:
        print_json(added.as_json())
    else:
        print(f"{one_line(added.name)} fires {firing(added)}")
