"""How soon does a page hear of a commit, through the gateway and a real client?"""

from __future__ import annotations

import queue
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psycopg

from benchmarks.children import running
from benchmarks.contestants.contestant import Connection, Contestant, Load
from benchmarks.failure import RunFailed
from benchmarks.gateways import Gateway, running_gateway
from benchmarks.scenarios.realtime import TABLE, UPDATE, spread, wait_for_slots
from benchmarks.scenarios.scenario import Bench, Figure, Run

SOCKETS = 1_000
COMMITS = (200, 1_000)
TO_ALL = (30, 100)
TASKS = (50, 200)
WARM_UP = 10
PAUSE_S = 0.01
PAUSE_ALL_S = 0.5
START_TIMEOUT_S = 60.0
TIMEOUT_S = 10.0
CLIENT = Path(__file__).parents[1] / "clients" / "sockets.mjs"


class SocketsScenario:
    """Single updates until the callback of supabase-js and at 1,000 sockets, and streamed text; row level security is on."""

    name = "sockets"
    title = "Gateway: milliseconds from the commit to the callback of supabase-js, and to the last of 1,000 sockets"
    figures: Sequence[Figure] = (
        Figure("client_p50_ms", "supabase-js, p50", digits=2, is_better_high=False),
        Figure("client_p99_ms", "supabase-js, p99", digits=2, is_better_high=False),
        Figure("text_p50_ms", "first text said to callback, p50", digits=1, is_better_high=False),
        Figure("text_p99_ms", "first text said to callback, p99", digits=1, is_better_high=False),
        Figure("last_p50_ms", "the last of 1,000 users, p50", digits=1, is_better_high=False),
        Figure("last_p99_ms", "the last of 1,000 users, p99", digits=1, is_better_high=False),
    )
    contestants: Sequence[str] = ("ours-100",)
    rounds = (3, 5)

    def run(self, bench: Bench, contestant: Contestant) -> Run:
        """Commit here; gateway and followers are processes of their own."""
        with bench.server.database(contestant) as database:
            url = bench.server.database_url(database)
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute(TABLE)
                bench.server.checkpoint()
                with running_gateway(url, bench.scratch) as gateway:
                    is_full = not bench.is_quick
                    with _Followers("client", gateway, 1) as followers:
                        client_ms = followers.measure(conn, COMMITS[is_full], PAUSE_S)
                    load = Load(handler="speak")
                    with running(contestant, url, load, bench.scratch):
                        text_ms = _Followers("stream", gateway, TASKS[is_full]).first_texts()
                    with _Followers("sockets", gateway, SOCKETS) as followers:
                        last_ms = followers.measure(conn, TO_ALL[is_full], PAUSE_ALL_S)
                wait_for_slots(conn, database)
        return Run({**spread("client", client_ms), **spread("text", text_ms), **spread("last", last_ms)})

    def close(self, bench: Bench) -> None:
        """Keep nothing."""


class _Followers:
    """A process of followers, and what they hear."""

    def __init__(self, mode: str, gateway: Gateway, count: int) -> None:
        node = shutil.which("node")
        if node is None:
            raise RunFailed("there is no Node.js")
        self._process = subprocess.Popen(
            [
                node,
                str(CLIENT),
                mode,
                gateway.url,
                gateway.publishable_key,
                gateway.jwt_secret,
                str(count),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._count = count
        self._heard: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        self._next("ready", START_TIMEOUT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)

    def measure(self, conn: Connection, count: int, pause_s: float) -> list[float]:
        """Update one row after the other; returns the milliseconds until the last follower had heard of each."""
        taken_ms = []
        for number in range(count + WARM_UP):
            time.sleep(pause_s * (0.5 + secrets.randbelow(100) / 100))
            body = f"body-{number}"
            conn.execute(UPDATE, [body, 0])
            committed_ns = time.monotonic_ns()
            taken_ms.append((self._next(body, TIMEOUT_S) - committed_ns) / 1e6)
        return taken_ms[WARM_UP:]

    def first_texts(self) -> list[float]:
        """Return for each task the milliseconds from saying its first text to the client's callback."""
        taken_ms = []
        for number in range(self._count):
            said, heard_ns = self._heard.get(timeout=START_TIMEOUT_S)
            if number >= WARM_UP:
                taken_ms.append((heard_ns - int(said)) / 1e6)
        self._process.wait(START_TIMEOUT_S)
        return taken_ms

    def _next(self, word: str, timeout_s: float) -> int:
        try:
            heard, at_ns = self._heard.get(timeout=timeout_s)
        except queue.Empty:
            raise RunFailed(f"nobody heard of {word} within {timeout_s:.0f} s") from None
        if heard != word:
            raise RunFailed(f"{heard} came in the place of {word}")
        return at_ns

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, _, at_ns = line.strip().partition(" ")
            self._heard.put((word, int(at_ns)))
