"""What a power cut, a kill or a careless hand leaves behind, and what the person reads when nothing can be done."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from embedded_steps import StartOwner, count_rows, server_pid, wait_until

from agent_worker.domain.errors import ConfigurationError, DatabaseUnavailable
from agent_worker.embedded import EmbeddedPostgres, find_running
from agent_worker.embedded.accounts import account_for
from agent_worker.embedded.binaries import find_binaries
from agent_worker.embedded.log import MAX_BYTES
from agent_worker.embedded.places import remove_data

pytestmark = pytest.mark.slow


@pytest.fixture
def sleeper(made: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the server's account that is no server: what a reused pid leads to."""
    owner = (made / "postgres").stat()
    user = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "600"], **user) as process:
        yield process
        process.kill()


def assert_recovers(data_dir: Path) -> None:
    with EmbeddedPostgres.start_or_join(data_dir) as postgres:
        assert postgres.owned
        assert count_rows(postgres.url) == 1
        assert find_running(data_dir) == postgres.url


def test_killed_server_recovers(made: Path) -> None:
    """SIGKILL of the postmaster leaves postmaster.pid and the state file, as a power cut does."""
    with EmbeddedPostgres.start_or_join(made) as postgres:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS late AS SELECT 1 AS number")
        os.kill(server_pid(made), signal.SIGKILL)
        assert_recovers(made)
    with EmbeddedPostgres.start_or_join(made) as again, psycopg.connect(again.url) as connection:
        assert connection.execute("SELECT number FROM late").fetchone() == (1,)


def test_pids_used_again_by_other_programs_are_not_believed(
    made: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    """Containers hand out the same small pids after each restart; PostgreSQL alone would refuse to start."""
    state = json.loads((made / "postgres.json").read_text())
    state.update(pid=sleeper.pid, owner_pid=sleeper.pid)
    (made / "postgres.json").write_text(json.dumps(state))
    pidfile = made / "postgres" / "postmaster.pid"
    pidfile.write_text(f"{sleeper.pid}\n{pidfile.parent}\n1\n{state['port']}\n\n127.0.0.1\n1 1\nready   \n")
    assert find_running(made) is None
    assert_recovers(made)


def test_lost_state_file_costs_the_password_only(made: Path) -> None:
    before = json.loads((made / "postgres.json").read_text())["password"]
    (made / "postgres.json").unlink()
    assert_recovers(made)
    assert json.loads((made / "postgres.json").read_text())["password"] != before


def test_lost_state_file_is_no_trouble_with_a_logical_slot(made: Path) -> None:
    """Single-user mode, which sets the new password, refuses a slot unless it runs with our settings."""
    with EmbeddedPostgres.start_or_join(made) as postgres, psycopg.connect(postgres.url) as connection:
        connection.execute("SELECT pg_create_logical_replication_slot('reader', 'pgoutput')")
    (made / "postgres.json").unlink()
    assert_recovers(made)
    with EmbeddedPostgres.start_or_join(made) as postgres, psycopg.connect(postgres.url) as connection:
        connection.execute("SELECT pg_drop_replication_slot('reader')")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": 1}', '{"password": null}'])
def test_damaged_state_file_counts_as_lost(content: str, made: Path) -> None:
    (made / "postgres.json").write_text(content)
    assert find_running(made) is None
    assert_recovers(made)


def test_state_file_of_another_database_is_named(made: Path) -> None:
    state = (made / "postgres.json").read_text()
    (made / "postgres.json").write_text(json.dumps({**json.loads(state), "password": "of-another"}))
    try:
        with pytest.raises(DatabaseUnavailable, match=r"remove postgres\.json"):
            EmbeddedPostgres.start_or_join(made)
    finally:
        (made / "postgres.json").write_text(state)


def test_taken_port_is_left_to_its_taker(made: Path) -> None:
    port = json.loads((made / "postgres.json").read_text())["port"]
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # by somebody else, which does as well
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        assert_recovers(made)
    assert json.loads((made / "postgres.json").read_text())["port"] != port


def test_half_made_cluster_of_a_killed_start_is_cleared_away(data_dir: Path, start_owner: StartOwner) -> None:
    owner = start_owner(data_dir, prefix=["nice", "-n", "19"])  # slower than who watches it
    while not (stages := list(data_dir.glob(".postgres-*/cluster/PG_VERSION"))):
        assert not (data_dir / "postgres").exists(), "it was quicker than this test"
    owner.kill()
    with EmbeddedPostgres.start_or_join(data_dir) as postgres, psycopg.connect(postgres.url) as connection:
        connection.execute("SELECT 1")
    assert not stages[0].exists()
    assert sorted(path.name for path in data_dir.iterdir()) == [
        "postgres",
        "postgres.json",
        "postgres.lock",
        "postgres.log",
    ]


def test_overlong_log_is_emptied_at_the_next_start(made: Path) -> None:
    os.truncate(made / "postgres.log", MAX_BYTES + 1)
    assert_recovers(made)
    assert (made / "postgres.log").stat().st_size < 100_000


def test_data_of_another_major_version_is_named(made: Path) -> None:
    version_file = made / "postgres" / "PG_VERSION"
    version = version_file.read_text()
    version_file.write_text("14\n")
    try:
        with pytest.raises(ConfigurationError, match="was made by PostgreSQL 14") as raised:
            EmbeddedPostgres.start_or_join(made)
    finally:
        version_file.write_text(version)
    assert str(made / "postgres") in str(raised.value)
    assert "move" in str(raised.value)


def test_folder_that_is_no_cluster_is_named(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="PG_VERSION"):
        EmbeddedPostgres.start_or_join(data_dir)
    (data_dir / "postgres").rmdir()


def test_link_to_vanished_data_is_not_replaced_by_an_empty_database(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "postgres").symlink_to(data_dir / "elsewhere")
    with pytest.raises(ConfigurationError, match="does not exist"):
        EmbeddedPostgres.start_or_join(data_dir)


def test_data_directory_that_is_a_file_is_named(data_dir: Path) -> None:
    data_dir.touch()
    with pytest.raises(ConfigurationError, match="AGENT_WORKER_DATA_DIR"):
        EmbeddedPostgres.start_or_join(data_dir)


def test_full_disk_is_named_with_what_initdb_said(data_dir: Path, start_owner: StartOwner) -> None:
    """A limit on file size stands in for the full disk: initdb fails in the middle of its work."""
    said = start_owner(data_dir, "limited").said()
    assert said["error"] == "DatabaseUnavailable"
    what, why, fix = said["message"].split(" · ")
    assert what.startswith("initdb could not")
    assert "No space" in why or "too large" in why or "could not" in why
    assert fix == "free some disk space and start again"
    assert list(data_dir.glob(".postgres-*")) == []


def test_server_that_cannot_start_is_named_with_the_end_of_its_log(made: Path) -> None:
    configuration = made / "postgres" / "postgresql.conf"
    before = configuration.read_text()
    configuration.write_text(before + "\nshared_buffers = nonsense\n")
    try:
        with pytest.raises(DatabaseUnavailable, match="shared_buffers"):
            EmbeddedPostgres.start_or_join(made)
    finally:
        configuration.write_text(before)


def test_server_started_by_hand_is_left_alone(made: Path) -> None:
    account = account_for(made / "postgres")
    binaries = find_binaries(account)
    assert binaries is not None
    user = {} if account.is_ours else {"user": account.uid, "group": account.gid}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", f"port={port}"]
    command = [binaries.program("postgres"), "-D", str((made / "postgres").resolve()), *options]
    with (
        (made / "by-hand.log").open("wb") as log,
        subprocess.Popen(command, stderr=log, cwd="/", **user) as by_hand,
    ):
        try:
            wait_until(lambda: "ready" in _read(made / "postgres" / "postmaster.pid"))
            with pytest.raises(DatabaseUnavailable, match=f"pid {by_hand.pid}"):
                EmbeddedPostgres.start_or_join(made)
            assert by_hand.poll() is None
        finally:
            by_hand.send_signal(signal.SIGINT)


def test_remove_data_refuses_while_a_server_runs(data_dir: Path) -> None:
    with EmbeddedPostgres.start_or_join(data_dir) as postgres:
        with pytest.raises(DatabaseUnavailable, match="in use"):
            remove_data(data_dir)
        with psycopg.connect(postgres.url) as connection:
            connection.execute("SELECT 1")
    remove_data(data_dir)
    remove_data(data_dir)
    assert [path.name for path in data_dir.iterdir()] == ["postgres.lock"]
    shutil.rmtree(data_dir)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
