"""`agent-worker limits list`."""

from __future__ import annotations

from rich.text import Text

from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import ago, one_line, print_json, show, table
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.limits import Limits
from agent_worker.domain.records import Limit


def limits_list(*, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List limits and pauses, and how many tasks each counts now.

    --json prints a list of rows.
    """
    found = with_database(read_settings(database_url=database_url), lambda db: Limits(db).all())
    if as_json:
        print_json([limit.as_json() for limit in found])
        return
    if not found:
        show(Text("no limits", style="dim"))
        return
    rows = table("id", "kind", "for", "running", "rate", right=("id", "running"))
    for limit in found:
        rows.add_row(
            str(limit.id),
            "all together" if limit.kind is None else one_line(limit.kind),
            _whom(limit),
            _running(limit),
            "" if limit.max_starts is None else f"{limit.max_starts:,} in {limit.period_s:,} s",
        )
    show(rows)


def _whom(limit: Limit) -> str:
    if limit.per == "all":
        return "everybody"
    return f"each {limit.per}" if limit.key is None else f"{limit.per} {one_line(limit.key)}"


def _running(limit: Limit) -> Text:
    if limit.paused_at is not None:
        return Text(f"{limit.running:,}, paused {ago(limit.paused_at)}", style="yellow")
    return Text(
        f"{limit.running:,}" if limit.max_running is None else f"{limit.running:,} of {limit.max_running:,}"
    )
