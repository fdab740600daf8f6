"""`agent-worker migrate`, as a person or a script runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_worker.cli.program import main
from agent_worker.db.migration_files import load_migrations
from agent_worker.testing.postgres import TestDatabases

OURS = tuple(load_migrations())
HEAD = OURS[-1].version


Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in an empty directory and return what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def command(*arguments: str, url: str | None = None, exit_code: int = 0) -> str:
        if url is not None:
            monkeypatch.setenv("DATABASE_URL", url)
        monkeypatch.setattr("sys.argv", ["agent-worker", "migrate", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        assert (left.value.code or 0) == exit_code, printed.err
        return printed.out + printed.err

    return command


def test_migrate_lists_each_file_and_ends_with_the_version(run: Run, empty_url: str) -> None:
    lines = run(url=empty_url).splitlines()

    assert [line.split()[0] for line in lines[: len(OURS)]] == [migration.version for migration in OURS]
    assert all(line.endswith(" ms") for line in lines[: len(OURS)])
    assert f"applied {len(OURS)} files in " in lines[-1]
    assert lines[-1].endswith(f"the schema is at {HEAD}")
    assert max(map(len, lines[: len(OURS)])) <= 80


def test_migrate_again_says_that_there_is_nothing_to_do(run: Run, database_url: str) -> None:
    (line,) = run(url=database_url).splitlines()

    assert line.endswith(f"nothing to do · the schema is at {HEAD}")


def test_the_option_names_the_database_too(run: Run, database_url: str) -> None:
    assert "nothing to do" in run("--database-url", database_url)


def test_migrate_prints_json_for_scripts(run: Run, empty_url: str) -> None:
    report = json.loads(run("--json", url=empty_url))

    assert report["version"] == HEAD
    assert report["applied"] == [{"version": migration.version, "name": migration.name} for migration in OURS]


def test_status_begins_with_the_verdict(run: Run, empty_url: str, database_url: str) -> None:
    behind = run("--status", url=empty_url).splitlines()
    current = run("--status", url=database_url).splitlines()

    assert behind[0].endswith(f"{len(OURS)} migrations to apply · run: agent-worker migrate")
    assert all(line.endswith("pending") for line in behind[1:])
    assert current[0].endswith(f"up to date · the schema is at {HEAD}")
    assert all(line.endswith("applied") for line in current[1:])


def test_status_prints_json_for_scripts(run: Run, database_url: str) -> None:
    found = json.loads(run("--status", "--json", url=database_url))

    assert (found["version"], found["release"], found["pending"], found["unknown"]) == (HEAD, HEAD, [], [])


def test_without_a_database_the_error_names_the_setting(run: Run) -> None:
    assert "DATABASE_URL is not set" in run(exit_code=3)


def test_a_database_that_refuses_is_told_in_one_sentence(run: Run, databases: TestDatabases) -> None:
    printed = run(url=databases.url("no_such_one"), exit_code=3)

    assert 'database "no_such_one" does not exist' in printed
    assert "Traceback" not in printed
