"""With SUPABASE_URL and its key and without DATABASE_URL: `run` works over HTTP, the rest says what it needs."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.cli.program import Program, until
from tests.gateway.door import PUBLISHABLE, SECRET, legacy_key
from tests.rest.project import StandIn

pytestmark = pytest.mark.slow


def variables(stand_in: StandIn, key: str = SECRET) -> dict[str, str]:
    return {"SUPABASE_URL": stand_in.url, "SUPABASE_SERVICE_KEY": key}


def test_processes_work_and_drain_together(
    bare: Program, stand_in: StandIn, database_url: str, tmp_path: Path
) -> None:
    env = variables(stand_in) | {"AGENT_WORKER_LOG_FORMAT": "json"}
    parent = bare.start("run", "--processes", "2", "--name", "bee", env=env)
    started = parent.until("worker.started", count=2)
    assert {event["database"] for event in started} == {stand_in.url.removeprefix("http://")}

    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO agent_task_requests (kind, request_payload) "
            "SELECT 'echo', jsonb_build_object('prompt', n::text) FROM generate_series(1, 50) n"
        )

        def are_done() -> bool:
            row = conn.execute(
                "SELECT count(*) FROM agent_task_requests WHERE status = 'completed'"
            ).fetchone()
            return row == (50,)

        until(are_done)
    parent.terminate()

    assert parent.wait() == 0
    assert SECRET not in parent.err.read_text()
    assert not (tmp_path / ".agent-worker").exists(), "no embedded database was made"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("sb_secret_wrong", "Invalid API key"),
        (PUBLISHABLE, "publishable (anon) key"),
        (legacy_key("anon"), "(anon)"),
    ],
    ids=["wrong", "publishable", "anon"],
)
def test_a_refused_key_ends_run_with_2_and_names_the_variable(
    bare: Program, stand_in: StandIn, key: str, reason: str
) -> None:
    done = bare("run", env=variables(stand_in, key))

    assert done.code == 2
    assert "SUPABASE_SERVICE_KEY" in done.err
    assert reason in done.err
    assert key not in done.err


def test_a_project_that_does_not_answer_ends_run_with_3(bare: Program, stand_in: StandIn) -> None:
    stand_in.down()

    done = bare("run", env=variables(stand_in))

    assert done.code == 3
    assert "supabase is not reachable" in done.err


def test_a_project_without_our_functions_names_the_command(
    bare: Program, stand_in: StandIn, database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("DROP FUNCTION public.agent_worker_schema_version")

    done = bare("run", env=variables(stand_in))

    assert done.code == 3
    assert "supabase db push" in done.err


@pytest.mark.parametrize(
    "command",
    ["submit x", "status", "tasks list", "schedules list", "watch", "check", "migrate", "dev"],
)
def test_every_other_command_says_that_it_needs_a_connection(
    bare: Program, stand_in: StandIn, tmp_path: Path, command: str
) -> None:
    done = bare(*command.split(), env=variables(stand_in))

    assert done.code == 2
    assert "needs a PostgreSQL connection" in done.err
    assert "set DATABASE_URL" in done.err
    assert not (tmp_path / ".agent-worker").exists()


def test_one_of_the_two_alone_is_refused(bare: Program, stand_in: StandIn) -> None:
    done = bare("run", env={"SUPABASE_URL": stand_in.url})

    assert done.code == 2
    assert "SUPABASE_SERVICE_KEY is not" in done.err


def test_config_masks_the_key(bare: Program, stand_in: StandIn) -> None:
    done = bare("config", env=variables(stand_in))

    assert done.code == 0
    assert stand_in.url in done.out
    assert SECRET not in done.out


@pytest.mark.parametrize(
    ("key", "verdict", "text"), [(SECRET, "ok", "over HTTP"), (PUBLISHABLE, "failed", "SUPABASE_SERVICE_KEY")]
)
def test_doctor_looks_at_the_project(
    bare: Program, stand_in: StandIn, key: str, verdict: str, text: str
) -> None:
    done = bare("doctor", "--json", env=variables(stand_in, key))

    (finding,) = [found for found in done.json["findings"] if found["name"] == "database"]
    assert finding["verdict"] == verdict
    assert text in finding["text"]
