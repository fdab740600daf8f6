"""Data directories that every account can walk to, and processes that own a server."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from embedded_steps import OWNER, Owner, StartOwner, is_gone, wait_until, write_row

from agent_worker.embedded import EmbeddedPostgres
from agent_worker.embedded.places import remove_data


@pytest.fixture
def start_owner() -> Iterator[StartOwner]:
    started: list[Owner] = []

    def start(data_dir: Path, how: str = "main", *, prefix: Sequence[str] = ()) -> Owner:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-c", OWNER, str(data_dir), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(Owner(process))
        return started[-1]

    yield start
    for owner in started:
        owner.process.kill()
        owner.process.communicate()


@contextmanager
def _open_base() -> Iterator[Path]:
    base = Path(tempfile.mkdtemp(prefix="agent-worker-test-"))
    base.chmod(0o711)  # pytest's own tmp_path is closed to the account that root's server runs as
    try:
        yield base
    finally:
        data_dir = base / ".agent-worker"
        if (data_dir / "postgres").exists():
            wait_until(lambda: is_gone(data_dir))
            remove_data(data_dir)
        shutil.rmtree(base)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory that does not exist yet."""
    with _open_base() as base:
        yield base / ".agent-worker"


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data directory whose cluster holds one row in table `kept`; its server is stopped. Leave it so."""
    with _open_base() as base:
        path = base / ".agent-worker"
        with EmbeddedPostgres.start_or_join(path) as postgres:
            write_row(postgres.url)
        yield path
