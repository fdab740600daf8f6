"""The main job: insert a row, get an answer, from the model that the environment names."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agent_worker.embedded.binaries import candidates
from agent_worker.embedded.places import remove_data
from agent_worker.testing.openai_server import ScriptedOpenAI, Status, Text
from tests.e2e.steps import PATIENCE_S
from tests.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def model() -> Iterator[ScriptedOpenAI]:
    with ScriptedOpenAI() as server:
        yield server


@pytest.fixture
def home() -> Iterator[Path]:
    """A project folder, for `dev` to keep its data in."""
    folder = Path(tempfile.mkdtemp(prefix="agent-worker-e2e-"))
    folder.chmod(0o711)
    yield folder
    remove_data(folder / ".agent-worker")
    shutil.rmtree(folder)


@pytest.fixture
def database_url(model: ScriptedOpenAI, home: Path) -> Iterator[str]:
    """What `agent-worker dev --json` says when it is ready; ended by SIGTERM, with exit code 0."""
    unset = ("DATABASE_URL", "AGENT_WORKER_DATA_DIR", "AGENT_WORKER_MODEL")
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "agent_worker.cli", "dev", "--json", "--port", "0"],
            cwd=home,
            env={**inherited, "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": model.base_url},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (home / "log").read_text()
        yield json.loads(line)["database_url"]
    finally:
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, rest) == (0, "")


async def answer(url: str, task: str) -> dict[str, Any]:
    """The task's row once it has ended."""
    with psycopg.connect(url, autocommit=True) as conn:

        async def has_ended() -> bool:
            row = conn.execute(
                "SELECT finished_at IS NOT NULL FROM agent_task_requests WHERE id = %s", [task]
            ).fetchone()
            return bool(row and row[0])

        await eventually(has_ended, timeout_s=PATIENCE_S)
        row = conn.execute("SELECT to_jsonb(t) FROM agent_task_requests t WHERE id = %s", [task]).fetchone()
    assert row is not None
    return dict(row[0])


async def test_a_row_inserted_with_psql_is_answered_by_the_configured_model(
    database_url: str, model: ScriptedOpenAI
) -> None:
    model.script(Text("Forty-two."))
    psql = next(candidates()).bindir / "psql"
    insert = 'INSERT INTO agent_task_requests (request_payload) VALUES (\'{"prompt": "What is it?"}\') RETURNING id'
    inserted = subprocess.run(
        [psql, "-qAtX", database_url, "-c", insert], capture_output=True, text=True, check=True
    )
    task = await answer(database_url, inserted.stdout.strip())
    assert task["status"] == "completed", task
    assert task["response_payload"]["answer"] == "Forty-two."
    (request,) = model.requests
    assert request.body["messages"][-1] == {"role": "user", "content": "What is it?"}
    assert request.body["stream"] is True


async def test_a_busy_model_is_asked_again_and_a_refusal_is_told(
    database_url: str, model: ScriptedOpenAI
) -> None:
    model.script(Status(429, retry_after_s=0.1), Text("Later."), Status(401))
    with psycopg.connect(database_url, autocommit=True) as conn:
        tasks = []
        for _ in range(2):
            row = conn.execute(
                'INSERT INTO agent_task_requests (request_payload) VALUES (\'{"prompt": "Now?"}\') RETURNING id'
            ).fetchone()
            assert row is not None
            tasks.append(await answer(database_url, str(row[0])))
    first, second = tasks
    assert first["response_payload"]["answer"] == "Later."
    assert (second["status"], second["attempt"]) == ("failed", 1)
    assert second["response_payload"]["code"] == "upstream_unauthorized"
    assert "sk-test" not in str(second)
