"""A model is overloaded: other work goes on, the provider is left alone, and the tasks that wait lose nothing."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from agent_worker import ProviderPaused, Task, TaskContext
from agent_worker.domain.circuit import BreakerPolicy
from agent_worker.domain.json import JsonObject
from agent_worker.llm.models import Models
from agent_worker.processors.chat import Chat, ChatSettings
from agent_worker.processors.echo import Echo
from agent_worker.telemetry import Metrics
from agent_worker.testing.openai_server import Reply, ScriptedOpenAI, Status, Text
from tests.waiting import eventually
from tests.worker.conftest import Rows, StartWorker

SLOTS = 20
MANY = 200


class Storm:
    """A provider one of whose models refuses everybody until the storm is over."""

    def __init__(self, refusal: Status) -> None:
        self.refusal = refusal
        self.is_over = threading.Event()
        self.server = ScriptedOpenAI(default=self._answer)
        self.metrics = Metrics()

    def models(self, policy: BreakerPolicy) -> Models:
        """Models at this provider, the overloaded one the default."""
        return Models(
            default="openai/busy",
            openai_api_key=SecretStr("sk-test"),
            openai_base_url=self.server.base_url,
            data_dir=Path("/nonexistent/data"),
            breaker=policy,
            on_pause=self.metrics.provider_paused,
        )

    def asked(self, model: str = "busy") -> int:
        """Requests for a model so far."""
        return sum(request.body["model"] == model for request in self.server.requests)

    def _answer(self, request: JsonObject) -> Reply:
        is_refused = request["model"] == "busy" and not self.is_over.is_set()
        return self.refusal if is_refused else Text("at last")


@pytest.fixture
def storm(request: pytest.FixtureRequest) -> Iterator[Storm]:
    made = Storm(request.param)
    with made.server:
        yield made


def any_storm(*refusals: Status) -> Callable[..., Any]:
    return pytest.mark.parametrize("storm", refusals, indirect=True, ids=repr)


async def insert_many(rows: Rows, kind: str) -> None:
    await rows.db.fetch_all(
        "INSERT INTO agent_task_requests (kind, request_payload) "
        "SELECT %(kind)s, jsonb_build_object('prompt', n::text) FROM generate_series(1, %(many)s) n RETURNING id",
        {"kind": kind, "many": MANY},
    )


async def statuses(rows: Rows, kind: str) -> Counter[str]:
    found = await rows.db.fetch_all(
        "SELECT status FROM agent_task_requests WHERE kind = %(kind)s", {"kind": kind}
    )
    return Counter(row[0] for row in found)


def probes(asked: int, storm: Storm) -> Callable[[], Any]:
    async def came() -> bool:
        return storm.asked() > asked

    return came


@pytest.mark.slow
@any_storm(Status(429), Status(429, retry_after_s=1), Status(503, retry_after_s=5))
async def test_a_storm_holds_back_nobody_else_and_costs_no_attempts(
    storm: Storm, start_worker: StartWorker, rows: Rows
) -> None:
    # A long queue comes back over two seconds; the pauses are short so that the test is.
    models = storm.models(BreakerPolicy(first_pause_s=1.0, max_pause_s=2.0, max_retry_after_s=1.0))
    await insert_many(rows, "chat")
    async with start_worker(Chat(ChatSettings()), Echo(), models=models, concurrency=SLOTS):

        async def is_stormy() -> bool:
            return models.open_breakers == 1

        await eventually(is_stormy)
        began = time.monotonic()
        await insert_many(rows, "echo")

        async def echo_is_done() -> bool:
            return await statuses(rows, "echo") == {"completed": MANY}

        await eventually(echo_is_done)
        assert (await statuses(rows, "chat"))["completed"] == 0
        asked = storm.asked()
        pauses = time.monotonic() - began  # of a second or more
        assert asked <= SLOTS + 10 + pauses, "the first wave, and hardly anything since"
        await eventually(probes(asked, storm))
        assert (await statuses(rows, "chat")).keys() <= {"pending", "processing"}

        storm.is_over.set()
        asked = storm.asked()

        async def chat_is_done() -> bool:
            return await statuses(rows, "chat") == {"completed": MANY}

        await eventually(chat_is_done, timeout_s=60)
        assert storm.asked() - asked <= MANY + SLOTS
    attempts = await rows.db.fetch_all("SELECT DISTINCT attempt FROM agent_task_requests")
    assert attempts == [(1,)]
    assert storm.metrics.count("provider_pauses", "openai") >= 2


@any_storm(Status(429, retry_after_s=600))
async def test_another_model_of_the_same_provider_goes_on(
    storm: Storm, start_worker: StartWorker, rows: Rows
) -> None:
    async with start_worker(Chat(ChatSettings()), models=storm.models(BreakerPolicy()), concurrency=2):
        for _ in range(5):
            await rows.insert("chat", {"prompt": "busy"})
        calm = [await rows.insert("chat", {"prompt": "calm", "model": "openai/calm"}) for _ in range(5)]
        for task_id in calm:
            await rows.reaches(task_id, "completed")
        counts = await statuses(rows, "chat")
    assert counts == {"completed": 5, "pending": 5}
    assert storm.asked() <= 2


@any_storm(Status(429, retry_after_s=600))
async def test_the_stream_says_that_the_task_waits_for_its_model(
    storm: Storm, start_worker: StartWorker, rows: Rows
) -> None:
    models = storm.models(BreakerPolicy(max_retry_after_s=3.0))  # long enough to be looked at
    async with start_worker(Chat(ChatSettings()), models=models):
        task_id = await rows.insert("chat", {"prompt": "hello"}, max_attempts=1)

        async def is_told() -> bool:
            return "attempt-failed" in await rows.types(task_id)

        await eventually(is_told)
        waiting = await rows.task(task_id)
        storm.is_over.set()
        await rows.reaches(task_id, "completed")
    assert (waiting["status"], waiting["attempt"], waiting["response_payload"]) == ("pending", 0, None)
    assert waiting["run_at"] is not None
    events = await rows.events(task_id)
    assert [kind for kind, _ in events if kind.startswith("attempt")] == [
        "attempt-start",
        "attempt-failed",
        "attempt-start",
    ]
    failed = next(data for kind, data in events if kind == "attempt-failed")
    assert (failed["attempt"], failed["code"]) == (1, "provider_paused")
    assert 3 <= failed["retryInS"] <= 6
    again = [data for kind, data in events if kind == "attempt-start"][-1]
    assert (again["attempt"], again["resume"]) == (1, "postponed")


@any_storm(Status(429, retry_after_s=600))
async def test_a_postponed_task_can_be_cancelled(storm: Storm, start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Chat(ChatSettings()), models=storm.models(BreakerPolicy())):
        task_id = await rows.insert("chat", {"prompt": "hello"})

        async def is_postponed() -> bool:
            return bool((await rows.task(task_id))["run_at"])

        await eventually(is_postponed)
        await rows.cancel(task_id)
        task = await rows.reaches(task_id, "cancelled")
    assert task["response_payload"]["code"] == "cancelled"


async def test_a_processor_may_postpone_its_own_task_and_keeps_its_steps(
    start_worker: StartWorker, rows: Rows
) -> None:
    runs: list[str] = []

    class Fetch:
        kind = "fetch"

        async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
            async def first() -> str:
                runs.append("first")
                return "kept"

            kept = await ctx.step("first", first)
            runs.append(ctx.resume.value)
            if len(runs) < 4:
                raise ProviderPaused(
                    "The weather service is overloaded.", provider="weather", retry_after_s=1
                )
            return {"answer": kept}

    async with start_worker(Fetch()) as worker:
        task_id: UUID = await rows.insert("fetch", max_attempts=1)
        task = await rows.reaches(task_id, "completed")
        assert worker.executor.in_flight == 0
    assert (task["attempt"], task["response_payload"]) == (1, {"answer": "kept"})
    assert runs == ["first", "fresh", "postponed", "postponed"]
