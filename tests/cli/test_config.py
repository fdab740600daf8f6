"""Config and doctor: what is set, and what this machine can do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.cli.program import Program

ROOT = Path(__file__).parents[2]


def test_the_committed_env_example_is_what_the_settings_say(bare: Program) -> None:
    assert bare("config", "--env-example").out == (ROOT / ".env.example").read_text()


def test_config_names_each_value_and_its_source(bare: Program) -> None:
    (bare.folder / ".env").write_text("AGENT_WORKER_CONCURRENCY=7\nAGENT_WORKER_CHAT_SYSTEM=Be brief.\n")
    env = {"OPENAI_API_KEY": "sk-hunter2", "DATABASE_URL": "postgresql://me:hidden@db.example:6543/app"}
    done = bare("config", "--json", env=env)
    rows = {row["name"]: (row["value"], row["source"]) for row in done.json}

    assert rows["AGENT_WORKER_CONCURRENCY"] == ("7", ".env")
    assert rows["AGENT_WORKER_CHAT_SYSTEM"] == ("Be brief.", ".env")
    assert rows["AGENT_WORKER_PROCESSES"] == ("1", "default")
    assert rows["OPENAI_API_KEY"] == ("***", "environment")
    assert rows["DATABASE_URL"] == ("***@db.example:6543/app", "environment")
    typed = bare("config", "--json", "--database-url", "postgresql://me:hidden@h/d", env=env).json
    assert typed[0]["source"] == "command line"

    shown = bare("config", env=env)
    assert "hunter2" not in done.out + shown.out
    assert "hidden" not in done.out + shown.out
    assert max(map(len, shown.out.splitlines())) <= 80


@pytest.mark.slow
def test_doctor_has_a_line_for_everything(program: Program) -> None:
    done = program("doctor", "--json")

    assert done.code == 0
    names = [finding["name"] for finding in done.json["findings"]]
    assert names == [
        *("python", "postgres", "database", "clock", "data folder", "processors"),
        *("model", "openai", "local model", "metrics", "open files"),
    ]
    assert max(map(len, program("doctor").out.splitlines())) <= 80


@pytest.mark.slow
def test_doctor_tells_what_is_broken_and_how_to_mend_it(bare: Program) -> None:
    (bare.folder / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        env = {
            "AGENT_WORKER_METRICS_PORT": str(taken.getsockname()[1]),
            "AGENT_WORKER_MODEL": "openai/gpt",
            "DATABASE_URL": "postgresql://somebody@127.0.0.1:1/nowhere",
        }
        done = bare("doctor", "--json", env=env)

    broken = {row["name"]: row["fix"] for row in done.json["findings"] if row["verdict"] == "failed"}
    assert done.code == 2
    assert broken.keys() == {"database", "model", "metrics"}
    assert all(broken.values())
