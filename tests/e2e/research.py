"""The research pipeline in worker processes: its model, its people, and how to stop it in the middle of each step."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from agent_worker.db.connection import Database
from agent_worker.domain.events import Event, visible_events
from agent_worker.pipelines.reading.folder import read_folder
from agent_worker.testing.openai_server import Reply, ScriptedOpenAI, Slow, Text, ToolCall
from tests.e2e.fleet import Fleet, WorkerProcess
from tests.e2e.steps import PATIENCE_S
from tests.waiting import eventually
from tests.worker.conftest import Rows

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "pipelines" / "research-report"
TOPIC = "tides"
STEPS = (
    "Search",
    "Read what was found",
    "Take notes",
    "Agree on the notes",
    "Write the report",
    "File the report",
)
"""What a client is shown, in order; the other four only prepare threads, which takes no time to be killed in."""

_PLACES = {
    "Read what was found": "steps.Read what was found.steps.Say what matters@1",
    "Take notes": "steps.Take notes",
    "Write the report": "steps.Write the report",
}
"""Steps in which a model speaks, and the block that does: of the loop, the one of its second item."""

_HELD_CALLS = {
    "Search": f"web-search {TOPIC}",
    "Take notes": "web-search neap",
    "File the report": f"file-report {TOPIC}",
}


class Library:
    """The model of each thread, which always answers the same; it may fall silent in the middle of an answer.

    Attributes:
        silent_in: Words of the question whose answer stops after its first word.
    """

    def __init__(self) -> None:
        self.silent_in: str | None = None
        self._server = ScriptedOpenAI(default=self._answer)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def env(self) -> dict[str, str]:
        """The environment in which it is `openai/scripted`."""
        return {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": self._server.base_url}

    @property
    def questions(self) -> int:
        """How often it was asked."""
        return len(self._server.requests)

    def _answer(self, request: Any) -> Reply:
        system, *_ = (each["content"] for each in request["messages"])
        last = request["messages"][-1]
        if "research topics" in system and last["role"] == "user":
            return ToolCall("web-search", {"query": "neap", "limit": 2})
        if "research topics" in system:
            text = "Notes: the moon pulls more than the sun."
        elif "reports" in system:
            text = "The report: tides are the work of the moon."
        else:
            text = f"This page has {len(last['content'].split())} words."
        if self.silent_in is not None and self.silent_in in last["content"]:
            return Slow(per_token_s=3_600.0, text=text)
        return Text(text)


class Research:
    """Runs of the pipeline.

    Args:
        workers: Who runs them.
        rows: Where they are.
        ledger: Where its tools note their calls.
        model: What its threads ask.
        env: The workers' environment besides.
    """

    def __init__(self, workers: Fleet, rows: Rows, ledger: Path, *, model: str, env: dict[str, str]) -> None:
        self._workers = workers
        self._rows = rows
        self._ledger = ledger
        self._hold = ledger.with_name(f"{ledger.name}.hold")
        self._model = model
        self._env = env

    def worker(self) -> WorkerProcess:
        """Start a worker that has the tools."""
        tools = "tests.e2e.research_tools:web_search,tests.e2e.research_tools:file_report"
        env = {"AGENT_WORKER_PIPELINE_TOOLS": tools, "PYTHONPATH": str(ROOT), **self._env}
        return self._workers.start("--kinds", "pipeline", env=env)

    async def begin(self) -> UUID:
        """Insert a run."""
        source = read_folder(FOLDER)
        definition = {
            "settings": source.settings,
            "protocol": source.protocol,
            "prompts": [{"name": name, "content": text} for name, text in source.prompts.items()],
            "references": [
                {"name": name, "description": each.description, "content": each.content}
                for name, each in source.references.items()
            ],
        }
        payload = {"definition": definition, "input": {"TOPIC": TOPIC, "MODEL": self._model}}
        return await self._rows.insert("pipeline", payload, max_attempts=10)

    async def agree(self, task_id: UUID) -> None:
        """Answer as the person who is asked."""
        await self.is_waiting(task_id)
        await self._rows.answer(task_id, {"approved": True, "remarks": "Be short."})

    async def is_waiting(self, task_id: UUID) -> None:
        """Wait until a person is asked."""
        await self._rows.reaches(task_id, "waiting", timeout_s=PATIENCE_S)

    async def ends(self, task_id: UUID) -> Any:
        """Return what the run came to."""
        return (await self._rows.reaches(task_id, "completed", timeout_s=PATIENCE_S))["response_payload"]

    def calls(self, task_id: UUID) -> list[dict[str, Any]]:
        """Return the run's calls of tools, in order."""
        calls = [json.loads(line) for line in self._ledger.read_text().splitlines()]
        return [call for call in calls if call["key"].startswith(str(task_id))]

    async def told(self, task_id: UUID) -> list[Event]:
        """Return what a client shows of the run in the end, without the starts of later legs."""
        first, *rest = visible_events(await self._rows.events(task_id))
        return [Event(*first), *(Event(kind, data) for kind, data in rest if kind != "start")]

    # Standing still in the middle of a step

    def hold_tool(self, step: str) -> None:
        """Have the step's tool stand still."""
        self._hold.write_text(_HELD_CALLS[step])

    async def tool_is_held(self, step: str) -> None:
        """Wait until it does."""

        async def is_held() -> bool:
            calls = map(json.loads, self._ledger.read_text().splitlines())
            return any(
                call["held"] and f"{call['tool']} {call['subject']}" == _HELD_CALLS[step] for call in calls
            )

        await eventually(is_held, timeout_s=PATIENCE_S)

    def let_tools_go(self) -> None:
        """Hold none any more."""
        self._hold.unlink(missing_ok=True)

    async def has_said_a_word(self, task_id: UUID, step: str) -> None:
        """Wait until the first word of the step's answer is there for clients."""

        async def is_there() -> bool:
            said = await self._rows.events(task_id)
            return any(kind == "text-delta" and data["id"].startswith(_PLACES[step]) for kind, data in said)

        await eventually(is_there, timeout_s=PATIENCE_S)


class Gate:
    """Stops a worker at the database, in the middle of what a model says.

    The first words of an answer pass, the next ones wait for a lock that the test holds.
    """

    _LOCK = 20_260_101

    def __init__(self, db: Database) -> None:
        self._db = db

    @contextlib.asynccontextmanager
    async def shut(self, step: str, task_id: UUID) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Shut the gate while the block lasts; yields what waits until somebody stands before it.

        Who stands there at the end is taken for dead, as its machine would be: what it was writing is rolled back.
        """
        async with self._db.connection() as conn:
            await conn.execute("SELECT pg_advisory_lock(%s)", [self._LOCK])
            await conn.execute(_GATE.format(lock=self._LOCK, task=task_id, place=_PLACES[step]))  # type: ignore[arg-type]  # our own words

            async def waiting() -> list[int]:
                query = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
                cursor = await conn.execute(query, [self._LOCK])
                return [row[0] for row in await cursor.fetchall()]

            async def is_reached() -> bool:
                return bool(await waiting())

            yield lambda: eventually(is_reached, timeout_s=PATIENCE_S)
            for pid in await waiting():
                await conn.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            await conn.execute("DROP TRIGGER gate ON agent_task_events")
            await conn.execute("SELECT pg_advisory_unlock(%s)", [self._LOCK])


_GATE = """
    CREATE OR REPLACE FUNCTION public.gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF EXISTS (
        SELECT FROM public.agent_task_events e
        WHERE e.task_id = new.task_id AND e.type = 'text-delta' AND e.data ->> 'id' = new.data ->> 'id'
      ) THEN
        PERFORM pg_advisory_xact_lock({lock});
      END IF;
      RETURN new;
    END $$;
    CREATE TRIGGER gate BEFORE INSERT ON public.agent_task_events FOR EACH ROW
    WHEN (new.task_id = '{task}' AND strpos(new.data ->> 'id', '{place}:') = 1) EXECUTE FUNCTION public.gate();
"""
