"""The client for code without an event loop: the same answers, from scripts and from threads."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from agent_worker.client import Client, TaskFailed, TaskNotFound, TaskStatus, TextPiece, WaitTimeout
from agent_worker.db.connection import Database
from agent_worker.domain.errors import ConfigurationError, DatabaseUnavailable
from agent_worker.domain.task import Task
from tests.client.by_hand import ByHand, listeners


@pytest.fixture
def client(database_url: str) -> Iterator[Client]:
    with Client(database_url, poll_s=60.0) as opened:
        yield opened


def work(database_url: str, count: int) -> threading.Thread:
    """Answer so many tasks with their prompt in capitals, in a thread with an event loop of its own."""

    async def answer_all() -> None:
        async with Database(database_url) as db:
            worker = ByHand(db)
            for _ in range(count):
                task = await _first(worker)
                text = str(task.request_payload["prompt"]).upper()
                await worker.begin(task)
                await worker.speak(task, *text.split(" "))
                await worker.complete(task, {"answer": text})

    thread = threading.Thread(target=lambda: asyncio.run(answer_all()))
    thread.start()
    return thread


async def _first(worker: ByHand) -> Task:
    while True:
        try:
            return await worker.claim()
        except ValueError:  # nothing in line yet
            await asyncio.sleep(0.005)


def test_run_answers(client: Client, database_url: str) -> None:
    thread = work(database_url, 1)
    assert client.run("hello there", wait_s=20).answer == "HELLO THERE"
    thread.join()


def test_submit_look_cancel_and_wait(client: Client) -> None:
    task_id, _ = client.submit_many(["a", "b"], priority=2)
    assert client.look(task_id).status is TaskStatus.PENDING
    with pytest.raises(WaitTimeout):
        client.wait(task_id, timeout_s=0.05)
    assert client.cancel(task_id) is TaskStatus.CANCELLED
    with pytest.raises(TaskFailed):
        client.wait(task_id)
    with pytest.raises(TaskNotFound):
        client.look(UUID(int=0))
    assert client.questions(task_id) == []


def test_streams_are_plain_iterators(client: Client, database_url: str) -> None:
    task_id = client.submit("hello there")
    thread = work(database_url, 1)
    assert list(client.stream_text(task_id)) == [TextPiece("HELLO"), TextPiece("THERE")]
    thread.join()
    assert [event.type for event in client.stream(task_id, after_seq=1)] == ["text-delta", "text-delta"]


def test_a_stream_left_early_is_closed(client: Client, database_url: str) -> None:
    task_id = client.submit("hello there")
    work(database_url, 1).join()
    for event in client.stream(task_id):
        assert event.seq == 1
        break
    stream = client.stream(task_id)
    next(stream)
    client.close()
    with pytest.raises(RuntimeError, match="this client is closed"):
        next(stream)


def test_many_threads_share_a_client_and_its_listener(client: Client, database_url: str) -> None:
    thread = work(database_url, 30)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda n: client.run(f"n{n}", wait_s=30).answer, range(30)))
    thread.join()
    assert answers == [f"N{n}" for n in range(30)]

    async def count() -> int:
        async with Database(database_url) as db:
            return await listeners(db)

    assert asyncio.run(count()) == 1


async def test_a_client_works_beside_a_running_loop(database_url: str, db: Database) -> None:
    """As in a notebook: the calls block this loop, but need none of it."""
    with Client(database_url) as client:
        task_id = client.submit("hello")
        assert client.look(task_id).status is TaskStatus.PENDING


def test_closing_ends_the_calls_of_other_threads(database_url: str) -> None:
    client = Client(database_url, poll_s=60.0)
    task_id = client.submit("hello")
    with ThreadPoolExecutor(3) as pool:
        waits = [pool.submit(client.wait, task_id) for _ in range(3)]
        pool_is_busy(client)
        client.close()
        for wait in waits:
            with pytest.raises(RuntimeError, match="closed"):
                wait.result(timeout=30)
    client.close()
    with pytest.raises(RuntimeError, match="this client is closed"):
        client.submit("hello")


def pool_is_busy(client: Client) -> None:
    """Wait until three waits have begun."""
    deadline = time.monotonic() + 30
    while client._client._followers.count < 3:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_wrong_address_is_told_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(DatabaseUnavailable), Client("postgresql://postgres@127.0.0.1:1/nowhere"):
        pass
    with pytest.raises(ConfigurationError):
        Client("not a = conn = info")
    assert threading.active_count() == before


SCRIPT = """
import sys
from agent_worker.client import Client
{body}
"""
PROPER = """
with Client.from_env() as client:
    print(client.run("hello there", wait_s=20).answer)
"""
CARELESS = """
client = Client.from_env()
print(client.run("hello there", wait_s=20).answer)
"""
INTERRUPTED = """
import signal, threading
client = Client.from_env()
task_id = client.submit("hello")
interrupt = lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
threading.Timer(0.3, interrupt).start()
try:
    client.wait(task_id)
except KeyboardInterrupt:
    print(client.look(task_id).status)
client.close()
"""


@pytest.mark.parametrize(
    ("body", "printed", "tasks"),
    [(PROPER, "HELLO THERE\n", 1), (CARELESS, "HELLO THERE\n", 1), (INTERRUPTED, "pending\n", 0)],
    ids=["with a block", "never closed", "interrupted"],
)
def test_a_plain_script_ends_without_a_word_of_complaint(
    database_url: str, body: str, printed: str, tasks: int
) -> None:
    thread = work(database_url, tasks)
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT.format(body=body)],
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    thread.join()
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")
