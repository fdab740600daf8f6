"""The real small model: real tokens, one server per machine, gone with its last user, back after a crash."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import pytest
from llm_steps import SCHEMA, hear, request

from agent_worker.domain.errors import UpstreamError
from agent_worker.llm import local
from agent_worker.llm.local import LocalChat
from agent_worker.llm.local_files import Endpoint, LocalFiles
from agent_worker.llm.local_host import LocalHost
from agent_worker.llm.models import Models
from agent_worker.llm.retry import RetryingChat

pytestmark = [
    pytest.mark.local_model,
    pytest.mark.slow,
    pytest.mark.skipif(not local.is_installed(), reason=f"not installed: {local.INSTALL_COMMAND}"),
]

LINGER_S = 0.5
USER = """
import asyncio, sys
from pathlib import Path
from agent_worker.domain.chat import ChatMessage, ChatRequest
from agent_worker.llm.local import LocalChat

async def main():
    model = LocalChat(Path(sys.argv[1]), linger_s=float(sys.argv[2]))
    request = ChatRequest(messages=(ChatMessage("user", "Say hello."),), max_tokens=5)
    chunks = [chunk async for chunk in model.stream(request)]
    print("chunks", len(chunks), flush=True)
    sys.stdin.read()  # stays a user until its standard input ends
    await model.close()

asyncio.run(main())
"""


@pytest.fixture
async def model(tmp_path: Path) -> AsyncIterator[LocalChat]:
    chat = LocalChat(tmp_path, linger_s=LINGER_S)
    yield chat
    await chat.close()
    await gone(tmp_path)


def running(data_dir: Path) -> Endpoint | None:
    files = LocalFiles(data_dir / "local-model")
    return files.running() if files.directory.exists() else None


async def gone(data_dir: Path, *, within_s: float = 30.0) -> None:
    """Wait until no server runs; the deadline is the assertion."""
    await eventually(lambda: running(data_dir) is None, within_s=within_s)


async def eventually(condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Look until it holds: a process that ends tells nobody here."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def is_dead(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@contextmanager
def user(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Run another process that uses the model, past its first answer."""
    command = [sys.executable, "-c", USER, str(data_dir), str(LINGER_S)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line.startswith("chunks ") for line in process.stdout), "it ended without an answer"
        yield process
        process.kill()


async def test_real_tokens_stream_with_usage(model: LocalChat) -> None:
    heard = await hear(model, request("Tell me about the moon.", max_tokens=24))

    assert len(heard.pieces) > 5
    assert heard.finished.reason in {"stop", "length"}
    assert heard.finished.model == "smollm2-135m"
    assert 0 < heard.finished.usage.output_tokens <= 24


async def test_structured_output_follows_the_schema(model: LocalChat) -> None:
    schema = {
        **SCHEMA,
        "properties": {"city": {"type": "string", "maxLength": 20}, "population": {"type": "integer"}},
    }
    heard = await hear(
        model, request("Name a town and how many live there.", json_schema=schema, max_tokens=200)
    )

    data = json.loads(heard.text)
    assert data.keys() == {"city", "population"}
    assert isinstance(data["population"], int)


async def test_answers_at_the_same_time_come_from_one_server(model: LocalChat) -> None:
    answers = await asyncio.gather(*(hear(model, request(f"Count to {n}.", max_tokens=16)) for n in range(6)))

    assert all(answer.text for answer in answers)


async def test_cancelling_frees_the_server(model: LocalChat, tmp_path: Path) -> None:
    async def ramble(has_begun: asyncio.Event) -> None:
        async with aclosing(model.stream(request("Tell a very long story."))) as chunks:
            async for _ in chunks:
                has_begun.set()

    begun = [asyncio.Event() for _ in range(4)]
    rambling = [asyncio.create_task(ramble(has_begun)) for has_begun in begun]
    async with asyncio.timeout(60):
        await asyncio.gather(*(has_begun.wait() for has_begun in begun))
    for task in rambling:
        task.cancel()
    await asyncio.gather(*rambling, return_exceptions=True)

    async with asyncio.timeout(10):  # four answers of 1,024 tokens would keep every slot far longer
        await hear(model, request("hi", max_tokens=1))


async def test_a_prompt_past_the_context_is_refused_for_good(model: LocalChat) -> None:
    with pytest.raises(UpstreamError) as caught:
        await hear(model, request("word " * 4500))

    assert (caught.value.status, caught.value.retryable) == (400, False)


async def test_processes_share_one_server_that_outlives_its_starter(model: LocalChat, tmp_path: Path) -> None:
    with user(tmp_path):
        first = running(tmp_path)
        assert first is not None
        await hear(model, request("hi", max_tokens=1))
        assert running(tmp_path) == first
    killed_at = time.monotonic()  # the starter; this process still counts

    while time.monotonic() < killed_at + 2 * LINGER_S:
        await hear(model, request("hi", max_tokens=4))
        assert running(tmp_path) == first


async def test_processes_that_start_at_the_same_time_get_one_server(tmp_path: Path) -> None:
    hosts = [
        LocalHost(tmp_path, weights=local.find_weights(), linger_s=LINGER_S) for _ in range(3)
    ]  # a host is what a process has; locks do not care which process holds them
    endpoints = await asyncio.gather(*(host.endpoint() for host in hosts))
    await asyncio.gather(*(host.close() for host in hosts))

    assert len(set(endpoints)) == 1
    await eventually(lambda: LocalFiles(tmp_path).running() is None)


async def test_the_server_ends_when_its_last_user_is_killed(tmp_path: Path) -> None:
    with user(tmp_path) as process:
        server = running(tmp_path)
        assert server is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
        await gone(tmp_path)

    await eventually(lambda: is_dead(server.pid))


async def test_the_server_ends_after_its_last_user_closed(tmp_path: Path) -> None:
    with user(tmp_path) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=20) == 0
        await gone(tmp_path)


async def test_ctrl_c_in_the_starters_terminal_does_not_reach_the_server(tmp_path: Path) -> None:
    with user(tmp_path) as process:
        server = running(tmp_path)
        assert server is not None
        assert os.getpgid(server.pid) != os.getpgid(process.pid)


async def test_a_killed_server_is_replaced_within_the_same_request(model: LocalChat, tmp_path: Path) -> None:
    await hear(model, request("hi", max_tokens=1))
    first = running(tmp_path)
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)

    heard = await hear(RetryingChat(model), request("hi", max_tokens=4))

    assert heard.text
    second = running(tmp_path)
    assert second is not None
    assert second.pid != first.pid


async def test_a_server_killed_in_mid_answer_is_an_upstream_error(model: LocalChat, tmp_path: Path) -> None:
    chunks = model.stream(request("Tell a very long story."))
    await anext(chunks)
    server = running(tmp_path)
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)

    with pytest.raises(UpstreamError) as caught:
        async for _ in chunks:
            pass
    assert caught.value.retryable


async def test_a_server_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    host = LocalHost(tmp_path, weights=tmp_path / "missing.gguf", linger_s=LINGER_S)
    with pytest.raises(UpstreamError, match=r"server\.log"):
        await host.endpoint()
    await host.close()

    assert (tmp_path / "server.log").read_text()
    assert LocalFiles(tmp_path).running() is None


async def test_the_state_is_for_the_owners_eyes(model: LocalChat, tmp_path: Path) -> None:
    await hear(model, request("hi", max_tokens=1))

    state = tmp_path / "local-model" / "server.json"
    assert state.stat().st_mode & 0o077 == 0
    assert json.loads(state.read_text()).keys() == {"base_url", "api_key", "pid"}


async def test_the_registry_knows_the_model(tmp_path: Path) -> None:
    models = Models(default="local/smollm2-135m", data_dir=tmp_path)
    assert models.get().id == "local/smollm2-135m"
    assert models.get() is models.get("local/smollm2-135m")
    await models.close()
    assert running(tmp_path) is None, "nothing starts before the first request"
