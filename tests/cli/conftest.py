"""The program, with a database of the test's own or with none; and one live worker for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_worker.testing.postgres import TestDatabases
from tests.cli.program import PROCESSORS, Program


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Program]:
    """The program in an empty folder, without DATABASE_URL."""
    program = Program(tmp_path, None)
    yield program
    program.stop()


@pytest.fixture
def program(tmp_path: Path, database_url: str) -> Iterator[Program]:
    """The program with a migrated database of this test's own."""
    program = Program(tmp_path, database_url)
    yield program
    program.stop()


@pytest.fixture(scope="module")
def fleet(databases: TestDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program with a database in which a worker lives, for all tests of the module."""
    with databases.migrated() as url:
        program = Program(tmp_path_factory.mktemp("fleet"), url)
        scripts = [f"--processor={PROCESSORS}:{name}" for name in ("Slow", "Flaky")]
        try:
            program.start("run", "--name", "walter", *scripts).until("worker.started")
            yield program
        finally:
            program.stop()
