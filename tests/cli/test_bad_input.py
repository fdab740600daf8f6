"""What is wrong is told in one line on standard error: what happened, why, what to do; with the right exit code."""

from __future__ import annotations

import socket

import psycopg
import pytest

from tests.cli.program import Program

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("hello", "--priority", "99"), "error: priority must be 0 to 9"),
        (("hello", "--max-attempts", "0"), "error: max_attempts must be 1 to 25"),
        (("hello", "--run-at", "9999-12-31T23:00Z"), "error: run_at lies more than 10 years ahead"),
        (("hello", "--run-at", "9999"), "'9999' is no time"),
        (("hello", "--run-at", "99999999999d"), "'99999999999d' is no time"),
        (("--payload", '{"prompt": "a\\u0000b"}'), "error: request_payload.prompt holds a NUL character"),
        (("--payload", "[1]"), "--payload must be a JSON object"),
        (("hello", "--payload", '{"prompt": "x"}'), "the payload has a prompt already"),
        ((), "there is nothing to submit"),
        (("hello", "--kind", ""), "error: kind must have 1 to 64 characters"),
    ],
)
def test_a_task_that_breaks_a_rule_is_refused(
    fleet: Program, arguments: tuple[str, ...], problem: str
) -> None:
    done = fleet("submit", *arguments)

    assert (done.code, done.out) == (2, "")
    assert problem in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--kind", "echo", "--payload", "{}"), "invalid_payload", "$.prompt must be a string"),
        (("--payload", '{"prompt": 7}'), "invalid_payload", "$.prompt"),
        (("hello", "--model", "nope/x"), "unknown_model", "There is no model 'nope/x'"),
        (("hello", "--model", "openai/gpt"), "missing_key", "set OPENAI_API_KEY"),
    ],
)
def test_a_failed_task_exits_with_1_with_its_code_its_sentence_and_what_to_do(
    fleet: Program, arguments: tuple[str, ...], code: str, sentence: str
) -> None:
    done = fleet("submit", *arguments, "--wait")

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"error: the task failed · {code}: ")
    assert sentence in done.err
    assert " · look: agent-worker tasks show " in done.err


@pytest.mark.parametrize(
    ("arguments", "env", "problem"),
    [
        (("--kinds", "nope"), {}, "no processor has the kind nope · known kinds: chat, echo"),
        (("--kinds", "nope", "--processes", "2"), {}, "no processor has the kind nope"),
        (("--concurrency", "0"), {}, "AGENT_WORKER_CONCURRENCY: "),
        (("--processor", "missing.py:Thing"), {}, "--processor missing.py:Thing names no file"),
        (("--name", "walter"), {}, "the worker name is taken by walter (pid "),
        ((), {"AGENT_WORKER_CONCURENCY": "5"}, "did you mean AGENT_WORKER_CONCURRENCY?"),
        ((), {"AGENT_WORKER_LEASE_S": "1"}, "AGENT_WORKER_LEASE_S"),
        ((), {"AGENT_WORKER_CHAT_TIMEOUT_S": "0"}, "AGENT_WORKER_CHAT_TIMEOUT_S: "),
        ((), {"AGENT_WORKER_MODEL": "nope/x"}, "AGENT_WORKER_MODEL is nope/x, which cannot be used"),
        ((), {"AGENT_WORKER_MODEL": "openai/gpt"}, "set OPENAI_API_KEY"),
        (("--database-url", "postgres:/nowhere"), {}, "DATABASE_URL is not a PostgreSQL connection string"),
    ],
)
def test_a_wrong_configuration_exits_with_2(
    fleet: Program, arguments: tuple[str, ...], env: dict[str, str], problem: str
) -> None:
    done = fleet("run", *arguments, env=env)

    assert (done.code, done.out) == (2, "")
    assert problem in done.err


def test_a_taken_metrics_port_exits_with_2(fleet: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = fleet("run", "--metrics-port", str(port))

    assert done.code == 2
    assert f"error: cannot serve metrics on 127.0.0.1:{port} · Address already in use" in done.err


@pytest.mark.parametrize(
    "arguments", [("status",), ("submit", "hello"), ("run",), ("run", "--processes", "2")]
)
def test_an_unreachable_database_exits_with_3(bare: Program, arguments: tuple[str, ...]) -> None:
    done = bare(*arguments, "--database-url", "postgresql://somebody@127.0.0.1:1/nowhere")

    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("error: postgres is not reachable at 127.0.0.1:1/nowhere · ")
    assert done.err.count("\n") == 1


SCHEMA_VERSION = """
CREATE OR REPLACE FUNCTION agent_worker.schema_version(OUT version text, OUT serves_since text)
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$ SELECT '{version}', '{version}' $$
"""


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("DROP SCHEMA agent_worker CASCADE", "run: agent-worker migrate"),
        (SCHEMA_VERSION.format(version="20200101000000"), "is too old for this release"),
        (SCHEMA_VERSION.format(version="99990101000000"), "is newer than this release"),
    ],
)
def test_a_schema_that_does_not_fit_exits_with_3(program: Program, change: str, problem: str) -> None:
    assert program.url is not None
    with psycopg.connect(program.url, autocommit=True) as conn:
        conn.execute(change.encode())

    for arguments in (("run",), ("status",)):
        done = program(*arguments)

        assert (done.code, done.out) == (3, "")
        assert problem in done.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("tasks", "show", "00000000"), "no task has an id that begins with 00000000"),
        (("tasks", "cancel", "xyz"), "'xyz' is no part of an id"),
        (("tasks", "retry", "00000000-0000-4000-8000-000000000000"), "no task has an id"),
    ],
)
def test_a_task_that_is_not_there_exits_with_2(
    fleet: Program, arguments: tuple[str, ...], problem: str
) -> None:
    done = fleet(*arguments)

    assert (done.code, done.out) == (2, "")
    assert problem in done.err
