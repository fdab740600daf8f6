"""Everybody who can take part, by name."""

from __future__ import annotations

from benchmarks.contestants.awa import Awa
from benchmarks.contestants.contestant import Contestant
from benchmarks.contestants.graphile import Graphile
from benchmarks.contestants.limit import Limit
from benchmarks.contestants.ours import Ours
from benchmarks.contestants.pgqueuer import PgQueuer
from benchmarks.contestants.procrastinate import Procrastinate

CONTESTANTS: dict[str, Contestant] = {
    contestant.name: contestant
    for contestant in (
        Ours("ours", concurrency=1000),
        Ours("ours-100"),
        Limit("sql", batch=1000),
        Limit("sql-100", batch=100),
        PgQueuer(),
        Graphile(),
        Awa(),
        Procrastinate(),
    )
}
