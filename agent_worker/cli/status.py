"""`agent-worker status`: the operator's first look."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from agent_worker.cli import workers_list
from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import one_line, print_json, short_ids, show, table
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.report import Report
from agent_worker.domain.health import Diagnosis, FleetStatus, age, diagnose
from agent_worker.domain.json import JsonObject


def status(*, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Say how the fleet stands, first of all what is wrong.

    The first line is the diagnosis; when something is wrong, the second is the command that mends it. The exit code
    is 0 whenever there is an answer, whether good or bad: to alert, read `healthy` in --json, or run `check`.
    """
    settings = read_settings(database_url=database_url)
    found = with_database(settings, lambda db: Report(db).status())
    if as_json:
        print_json(as_document(found))
    else:
        show(render(found, diagnose(found)))


def as_document(found: FleetStatus) -> JsonObject:
    """Return `{"healthy", "sentence", "command", "pending", …}`, the rest being the fields of `FleetStatus`."""
    return {**diagnose(found).as_json(), "pending": found.pending, **found.as_json()}


def render(found: FleetStatus, diagnosis: Diagnosis) -> RenderableType:
    """Return the screen of `status`, which is also the upper half of `watch`."""
    return Group(*_parts(found, diagnosis))


def _parts(found: FleetStatus, diagnosis: Diagnosis) -> Iterator[RenderableType]:
    yield Text(diagnosis.sentence, style="green" if diagnosis.healthy else "bold red")
    if diagnosis.command is not None:
        yield Text(f"run: {diagnosis.command}")
    yield Text()
    yield _counts(found)
    if found.queued:
        yield Text()
        yield _queue(found)
    if found.stuck:
        yield Text()
        yield _stuck(found)
    yield Text()
    yield workers_list.render(found.workers)


def _counts(found: FleetStatus) -> RenderableType:
    recent = found.recent
    rows = table("tasks", "counts", header=False)
    now = (
        f"{found.pending} pending · {found.processing} processing · {found.waiting} waiting for an answer"
        f" · {found.scheduled} scheduled"
    )
    ended = f"{recent.completed} completed · {recent.failed} failed · {recent.cancelled} cancelled"
    why = f" (most: {recent.top_failure})" if recent.failed and recent.top_failure else ""
    rows.add_row(Text("tasks", style="dim"), now)
    if found.postponed:
        oldest = f"{found.postponed} for an overloaded provider (oldest {age(found.postponed_s)})"
        rows.add_row(Text("postponed", style="dim"), oldest)
    rows.add_row(Text(f"last {age(recent.window_s)}", style="dim"), ended + why)
    return rows


def _queue(found: FleetStatus) -> RenderableType:
    rows = table("kind", "pending", "oldest", "", right=("pending", "oldest"))
    for lane in sorted(found.queued, key=lambda lane: lane.oldest_s, reverse=True):
        held = (
            Text("paused", style="yellow") if lane.is_paused else Text("limited" if lane.is_limited else "")
        )
        rows.add_row(one_line(lane.kind), str(lane.count), age(lane.oldest_s), held)
    return rows


def _stuck(found: FleetStatus) -> RenderableType:
    names = short_ids(task.id for task in found.stuck)
    rows = table("stuck", "kind", "since", "why", right=("since",))
    for task in found.stuck:
        holder = one_line(task.worker or "a worker")
        why = f"{holder} is gone" if task.is_orphan else f"past its time limit on {holder}"
        rows.add_row(names[task.id], one_line(task.kind), age(task.running_s), why)
    return rows
