"""What does a pipeline cost beside its models, block by block and two hundred runs at once?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median, quantiles
from typing import LiteralString, TypeAlias

from psycopg.types.json import Jsonb

from benchmarks.children import Child, running
from benchmarks.contestants.contestant import Connection, Contestant, Load
from benchmarks.failure import RunFailed
from benchmarks.scenarios.scenario import Bench, Figure, Run

BLOCKS = (300, 2_000)
RUNS = 200
BLOCKS_EACH = (20, 50)
LIMIT_S = 300.0
_LOAD = Load(handler="pipeline")
_POLL_S = 0.01

Step: TypeAlias = Callable[[int], str]
"""Writes the step of a number."""

_INSERT = "INSERT INTO agent_task_requests (kind, request_payload) SELECT 'pipeline', %s FROM generate_series(1, %s)"
_UNFINISHED = "SELECT count(*) FROM agent_task_requests WHERE finished_at IS NULL"
_FAILED = "SELECT count(*) FROM agent_task_requests WHERE status <> 'completed'"
_EVENTS = "SELECT count(*) FROM agent_task_events"
_TIMES = """
    SELECT extract(epoch FROM at - lag(at) OVER (PARTITION BY task_id ORDER BY at))::float8 * 1000
    FROM (
      SELECT task_id, created_at AS at FROM agent_worker.checkpoints WHERE key LIKE 'block:%'
    ) AS each
"""
"""Milliseconds from one finished block of a run to the next: a checkpoint's time is when its transaction begins."""


class PipelinesScenario:
    """Shown blocks that compute nothing, each with its two events and its checkpoint, and answers of the echo model."""

    name = "pipelines"
    title = "Pipelines: milliseconds a block without the model, and 200 runs at once in one process"
    figures: Sequence[Figure] = (
        Figure("set_p50_ms", "set-variable, p50", digits=2, is_better_high=False),
        Figure("set_p99_ms", "set-variable, p99", digits=2, is_better_high=False),
        Figure("say_p50_ms", "next-message, p50", digits=2, is_better_high=False),
        Figure("say_p99_ms", "next-message, p99", digits=2, is_better_high=False),
        Figure("runs_per_s", "200 at once: runs/s", digits=1),
        Figure("blocks_per_s", "blocks/s"),
        Figure("events_per_s", "events/s"),
        Figure("many_p50_ms", "a block of these, p50", digits=1, is_better_high=False),
        Figure("many_p99_ms", "p99", digits=1, is_better_high=False),
        Figure("cpu_us", "worker CPU µs/block", is_better_high=False),
        Figure("peak_mib", "peak MiB", is_better_high=False),
    )
    contestants: Sequence[str] = ("ours",)
    rounds = (2, 5)

    def run(self, bench: Bench, contestant: Contestant) -> Run:
        """Time one long run of each kind of block, then many short ones of both."""
        is_full = not bench.is_quick
        figures: dict[str, float] = {}
        for name, step in (("set", _set), ("say", _say)):
            steps = [step] * BLOCKS[is_full]
            with bench.server.database(contestant) as database, bench.server.connect(database) as conn:
                with running(contestant, bench.server.database_url(database), _LOAD, bench.scratch) as child:
                    _work(conn, child, _definition(steps), 1)
                figures |= _spread(name, conn)
        steps = [_set, _say] * (BLOCKS_EACH[is_full] // 2)
        with bench.server.database(contestant) as database, bench.server.connect(database) as conn:
            with running(contestant, bench.server.database_url(database), _LOAD, bench.scratch) as child:
                took_s, cpu_s = _work(conn, child, _definition(steps), RUNS)
                figures["peak_mib"] = child.memory_mib()
            figures |= _spread("many", conn)
            figures["cpu_us"] = cpu_s * 1e6 / (RUNS * len(steps))
            figures["runs_per_s"] = RUNS / took_s
            figures["blocks_per_s"] = RUNS * len(steps) / took_s
            figures["events_per_s"] = _count(conn, _EVENTS) / took_s
        return Run(figures)

    def close(self, bench: Bench) -> None:
        """Keep nothing."""


def _set(number: int) -> str:
    return f"  Set {number}: {{block: set-variable, variable: A, value: TOPIC, display: name}}\n"


def _say(number: int) -> str:
    return f"  Say {number}: {{block: next-message, thread: talk, output: A}}\n"


def _definition(steps: Sequence[Step]) -> Jsonb:
    """Write a worker of these steps, all of one conversation."""
    protocol = "input:\n  TOPIC: {type: string}\nvariables:\n  A: {type: string}\nsteps:\n"
    protocol += "  Open: {block: start-thread, thread: talk, model: echo/echo, system: system}\n"
    protocol += "  Ask: {block: add-message, thread: talk, role: user, prompt: system}\n"
    protocol += "".join(step(number) for number, step in enumerate(steps))
    settings = {"slug": "measured", "name": "Measured", "format": "worker"}
    prompts = [{"name": "system", "content": "Say so."}]
    body = {"settings": settings, "protocol": protocol + "output: A\n", "prompts": prompts}
    return Jsonb({"definition": body, "input": {"TOPIC": "sea"}})


def _work(conn: Connection, child: Child, payload: Jsonb, count: int) -> tuple[float, float]:
    """Insert tasks into a worker that has had one to wake up with.

    Returns:
        The seconds until all have ended, and those of the worker's processor time.
    """
    _insert_and_wait(conn, child, _definition([_set]), 1)
    conn.execute("TRUNCATE agent_worker.checkpoints, agent_task_events")
    cpu_before_s = child.cpu_s()
    took_s = _insert_and_wait(conn, child, payload, count)
    return took_s, child.cpu_s() - cpu_before_s


def _insert_and_wait(conn: Connection, child: Child, payload: Jsonb, count: int) -> float:
    began = time.monotonic()
    conn.execute(_INSERT, [payload, count])
    while unfinished := _count(conn, _UNFINISHED):
        child.check()
        if time.monotonic() - began > LIMIT_S:
            raise RunFailed(f"{unfinished} of {count} runs had not ended after {LIMIT_S:.0f} s")
        time.sleep(_POLL_S)
    took_s = time.monotonic() - began
    if failed := _count(conn, _FAILED):
        raise RunFailed(f"{failed} of {count} runs failed")
    return took_s


def _count(conn: Connection, query: LiteralString) -> int:
    row = conn.execute(query).fetchone()
    assert row is not None
    return int(str(row[0]))


def _spread(name: str, conn: Connection) -> dict[str, float]:
    taken_ms = [float(str(row[0])) for row in conn.execute(_TIMES).fetchall() if row[0] is not None]
    return {f"{name}_p50_ms": median(taken_ms), f"{name}_p99_ms": quantiles(taken_ms, n=100)[98]}
