"""Start, join, stop: what `EmbeddedPostgres` promises to the process that calls it."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from embedded_steps import count_rows, is_gone, server_pid

from agent_worker.embedded import EmbeddedPostgres, find_running


@pytest.fixture
def running(made: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres.start_or_join(made) as postgres:
        yield postgres


def ask(url: str, query: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])


def test_new_data_directory_gets_a_server_with_the_database(data_dir: Path) -> None:
    with EmbeddedPostgres.start_or_join(data_dir, database="orders") as postgres:
        assert postgres.owned
        assert postgres.url.startswith("postgresql://postgres:")
        assert "@127.0.0.1:" in postgres.url
        assert ask(postgres.url, "SELECT current_database()") == "orders"
        assert ask(postgres.url, "SHOW server_version").split(" ")[0] == postgres.version
        assert postgres.startup_s > 0
        assert find_running(data_dir) == postgres.url


def test_stop_ends_the_server_and_may_be_called_twice(made: Path) -> None:
    postgres = EmbeddedPostgres.start_or_join(made)
    postgres.stop()
    assert is_gone(made)
    postgres.stop()


def test_stop_does_not_wait_for_connected_clients(made: Path) -> None:
    postgres = EmbeddedPostgres.start_or_join(made)
    client = psycopg.connect(postgres.url)
    client.execute("SELECT 1")
    postgres.stop()
    assert is_gone(made)
    client.close()


def test_threads_that_stop_at_once_all_return_after_the_end(made: Path) -> None:
    postgres = EmbeddedPostgres.start_or_join(made)
    seen: list[bool] = []

    def stop() -> None:
        postgres.stop()
        seen.append(is_gone(made))

    threads = [threading.Thread(target=stop) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True, True, True]


def test_restart_keeps_data_and_url(made: Path) -> None:
    with EmbeddedPostgres.start_or_join(made) as first:
        pass
    with EmbeddedPostgres.start_or_join(made) as second:
        assert second.url == first.url
        assert second.owned
        assert count_rows(second.url) == 1


def test_second_caller_joins_and_its_stop_leaves_the_server_up(running: EmbeddedPostgres, made: Path) -> None:
    with EmbeddedPostgres.start_or_join(made) as joined:
        assert not joined.owned
        assert (joined.url, joined.version) == (running.url, running.version)
    assert ask(running.url, "SELECT 1") == "1"


def test_joining_creates_another_database(running: EmbeddedPostgres, made: Path) -> None:
    joined = EmbeddedPostgres.start_or_join(made, database='odd "name"')
    assert ask(joined.url, "SELECT current_database()") == 'odd "name"'
    assert find_running(made) == running.url


def test_find_running_starts_nothing(made: Path, tmp_path: Path) -> None:
    assert find_running(made) is None
    assert find_running(tmp_path / "absent") is None
    assert list(tmp_path.iterdir()) == []


def test_server_is_ready_for_logical_replication_and_durable(running: EmbeddedPostgres) -> None:
    shown = {
        name: ask(running.url, f"SHOW {name}")
        for name in (
            "wal_level",
            "fsync",
            "synchronous_commit",
            "timezone",
            "server_encoding",
            "max_connections",
        )
    }
    assert shown == {
        "wal_level": "logical",
        "fsync": "on",
        "synchronous_commit": "on",
        "timezone": "UTC",
        "server_encoding": "UTF8",
        "max_connections": "200",
    }
    assert int(ask(running.url, "SHOW max_replication_slots")) >= 10
    assert int(ask(running.url, "SHOW max_wal_senders")) >= 10
    assert ask(running.url, "SHOW max_slot_wal_keep_size") == "1GB"
    assert ask(running.url, "SELECT upper('äöü é жук')") == "ÄÖÜ É ЖУК"


def test_only_loopback_listens(running: EmbeddedPostgres) -> None:
    port = psycopg.conninfo.conninfo_to_dict(running.url)["port"]
    assert _listeners(int(str(port))) == {
        "0100007F"
    }  # 127.0.0.1 as the kernel prints it on little-endian machines
    assert ask(running.url, "SHOW unix_socket_directories") == ""


def test_nobody_gets_in_without_the_password(running: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(running.url, password="wrong", passfile=os.devnull)
    assert ask(running.url, "SELECT bool_and(auth_method = 'scram-sha-256') FROM pg_hba_file_rules") == "True"


def test_password_is_kept_from_others(running: EmbeddedPostgres, made: Path) -> None:
    password = str(psycopg.conninfo.conninfo_to_dict(running.url)["password"])
    assert password not in repr(running)
    assert password not in (made / "postgres.log").read_text()
    for name in ("postgres.json", "postgres.log", "postgres.lock"):
        assert stat.S_IMODE((made / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((made / "postgres").stat().st_mode) == 0o700


def test_variables_meant_for_another_database_do_no_harm(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGSSLMODE": "require",
        "PGOPTIONS": "-c nonsense=1",
        "PGPORT": "1",
        "PGDATA": "/",
    }.items():
        monkeypatch.setenv(name, value)
    with EmbeddedPostgres.start_or_join(made) as postgres:
        assert find_running(made) == postgres.url


def test_server_does_not_see_our_environment(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret-of-ours")
    with EmbeddedPostgres.start_or_join(made):
        environment = Path(f"/proc/{server_pid(made)}/environ")
        if not environment.exists():
            pytest.skip("this system has no /proc")
        assert b"a-secret-of-ours" not in environment.read_bytes()


def _listeners(port: int) -> set[str]:
    """Return the local addresses that listen on `port`, as /proc/net/tcp and tcp6 print them."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    if not tables[0].exists():
        pytest.skip("this system has no /proc/net")
    listening = "0A"
    found = set()
    for table in tables:
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == listening and int(number, 16) == port:
                found.add(address)
    return found
