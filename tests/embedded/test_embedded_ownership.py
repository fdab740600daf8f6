"""The server ends with its owner, however the owner ends; and of many that come at once, one owns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from embedded_steps import StartOwner, count_rows, is_gone, server_pid, wait_until

from agent_worker.embedded import EmbeddedPostgres, find_running

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("how", ["main", "thread", "forking"])
def test_killed_owner_takes_its_server_along_and_loses_no_data(
    how: str, made: Path, start_owner: StartOwner
) -> None:
    """SIGKILL; also when a thread that has ended started it, and when a forked child holds the owner's pipe open."""
    owner = start_owner(made, how)
    assert owner.said()["owned"] is True
    child = int(owner.line()) if how == "forking" else None
    assert find_running(made) is not None
    owner.kill()
    wait_until(lambda: is_gone(made))
    if child is not None:
        os.kill(child, signal.SIGKILL)
    assert "database system is shut down" in (made / "postgres.log").read_text().splitlines()[-1]
    with EmbeddedPostgres.start_or_join(made) as again:
        assert again.owned
        assert count_rows(again.url) == 1


def test_owner_that_just_ends_stops_its_server_first(made: Path, start_owner: StartOwner) -> None:
    owner = start_owner(made)
    owner.said()
    owner.leave()
    assert is_gone(made)


def test_killed_guard_takes_the_server_down_in_order(made: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("the second wall, PR_SET_PDEATHSIG, is Linux's")
    with EmbeddedPostgres.start_or_join(made):
        os.kill(_parent(server_pid(made)), signal.SIGKILL)
        wait_until(lambda: is_gone(made))
    assert "database system is shut down" in (made / "postgres.log").read_text().splitlines()[-1]


def test_ctrl_c_reaches_the_owner_only(made: Path) -> None:
    """The guard has a session of its own, so a terminal's signal does not come; one sent by hand is ignored."""
    with EmbeddedPostgres.start_or_join(made) as postgres:
        pid = server_pid(made)
        assert os.getsid(_parent(pid)) != os.getsid(0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(_parent(pid), number)
        with psycopg.connect(postgres.url) as connection:
            connection.execute("SELECT 1")


def test_forked_child_cannot_stop_its_parents_server(made: Path) -> None:
    """A worker that forks must not lose the database when the child ends."""
    code = (
        "import os, sys; from pathlib import Path; from agent_worker.embedded import EmbeddedPostgres, find_running\n"
        "postgres = EmbeddedPostgres.start_or_join(Path(sys.argv[1]))\n"
        "if os.fork() == 0: postgres.stop(); sys.exit(0)\n"
        "os.wait(); print(find_running(Path(sys.argv[1])) == postgres.url); postgres.stop()\n"
    )
    said = subprocess.run([sys.executable, "-c", code, str(made)], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True"]


def test_of_four_that_start_at_once_one_owns(data_dir: Path, start_owner: StartOwner) -> None:
    owners = [start_owner(data_dir) for _ in range(4)]
    answers = [owner.said() for owner in owners]
    assert sorted(answer["owned"] for answer in answers) == [False, False, False, True]
    assert len({answer["url"] for answer in answers}) == 1
    for answer in answers:
        with psycopg.connect(answer["url"]) as connection:
            connection.execute("SELECT 1")


def test_start_waits_for_the_end_of_a_server_whose_owner_was_killed(
    made: Path, start_owner: StartOwner
) -> None:
    """Right after the kill the old server still answers; joining it would be joining a dying one."""
    owner = start_owner(made)
    client = psycopg.connect(owner.said()["url"])
    owner.kill()
    with EmbeddedPostgres.start_or_join(made) as postgres:
        assert postgres.owned
        assert count_rows(postgres.url) == 1
    client.close()


def test_state_names_the_owner_and_the_server(made: Path) -> None:
    with EmbeddedPostgres.start_or_join(made) as postgres:
        state = json.loads((made / "postgres.json").read_text())
        pidfile = (made / "postgres" / "postmaster.pid").read_text().splitlines()
        assert state["owner_pid"] == os.getpid()
        assert (state["pid"], state["port"]) == (int(pidfile[0]), int(pidfile[3]))
        assert (state["url"], state["version"]) == (postgres.url, postgres.version)


def _parent(pid: int) -> int:
    said = subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(said.stdout)
