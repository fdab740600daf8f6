"""Make a cluster, and say how it runs.

Settings the product depends on stand on the server's command line, not in postgresql.conf: a release that
needs another value gets it on clusters made before, and ALTER SYSTEM cannot take logical replication away.
Commits are durable: `fsync` and `synchronous_commit` keep PostgreSQL's defaults, and a new cluster is synced to
disk too, for a commit is no safer than the catalogue it refers to. That happens beside the first start instead of
before it: 0.1 s for its 1,000 files on an idle machine, but 1 to 3 s on a busy one.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from agent_worker.domain.errors import ConfigurationError, DatabaseUnavailable
from agent_worker.embedded.accounts import Account
from agent_worker.embedded.binaries import Binaries
from agent_worker.embedded.log import trouble
from agent_worker.embedded.places import Place, clear_stages, new_stage, publish
from agent_worker.embedded.state import HOST, USER

INITDB_TIMEOUT_S = 120.0
RESET_TIMEOUT_S = 120.0  # single-user mode recovers from a crash first

_BUILTIN_LOCALE_SINCE = 17

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_connections": "200",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    # A reader that went away must not fill the disk; its slot is lost instead and it reads afresh.
    "max_slot_wal_keep_size": "1GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "cluster_name": "agent_worker",
    # The guard passes the log as stderr: root's log may lie where the server's account cannot open it.
    "logging_collector": "off",
    "log_destination": "stderr",
}


def create(place: Place, binaries: Binaries, account: Account) -> str:
    """Make the cluster and return the password of its superuser.

    Raises:
        ConfigurationError: There is no place that the account reaches.
        DatabaseUnavailable: initdb failed; the message ends with what it said last.
    """
    stage = new_stage(place, account)
    try:
        password = secrets.token_hex(24)
        _write_for(account, stage / "password", password)
        built = stage / "cluster"
        _initdb(built, place, binaries, account, password_file=stage / "password")
        publish(built, place)
        # No daemon: a process that ends at once waits for it.
        threading.Thread(
            target=_sync, args=(os.path.realpath(place.cluster),), name="embedded-postgres-sync"
        ).start()
    finally:
        clear_stages(stage.parent, place)
    return password


def major_of(place: Place) -> int | None:
    """Return the major version that made the cluster, or None when there is no cluster yet.

    Raises:
        ConfigurationError: There is something, but it is no cluster, or the link leads nowhere.
    """
    cluster = place.cluster
    if cluster.is_symlink() and not cluster.exists():
        raise ConfigurationError(
            f"the database of {place.data_dir} is gone · {cluster} points to {cluster.readlink()}, which does not "
            f"exist · restore it, or remove the link to start empty"
        )
    if not cluster.exists():
        return None
    try:
        return int((cluster / "PG_VERSION").read_text(encoding="ascii"))
    except (OSError, ValueError) as exc:
        raise ConfigurationError(
            f"{cluster} is no PostgreSQL data directory · its file PG_VERSION cannot be read · move it away to start "
            "empty, or set AGENT_WORKER_DATA_DIR to another folder"
        ) from exc


def server_command(place: Place, binaries: Binaries, *, port: int) -> list[str]:
    """Return the command line of the server."""
    return [binaries.program("postgres"), *_options(place, {**SETTINGS, "port": str(port)})]


def reset_password(place: Place, binaries: Binaries, account: Account) -> str:
    """Give the superuser a new password and return it, for a cluster whose state file was lost.

    Done in single-user mode, which needs no password; the caller holds the cluster lock.

    Raises:
        DatabaseUnavailable: The server refused.
    """
    password = secrets.token_hex(24)
    options = _options(place, {**SETTINGS, "exit_on_error": "on"})
    said = account.run(
        [binaries.program("postgres"), "--single", *options, "postgres"],
        stdin=f"ALTER ROLE {USER} PASSWORD '{password}';\n",
        timeout_s=RESET_TIMEOUT_S,
    )
    if said.returncode != 0:
        raise DatabaseUnavailable(
            f"{place.state} is lost and the password in it cannot be replaced · {trouble(said.stdout)} · "
            f"restore the file, or move {place.cluster} away to start empty"
        )
    return password


def advice(why: str, place: Place) -> str:
    """Return what to do about `trouble`, judged by PostgreSQL's own words (they are English under LC_ALL=C)."""
    if "shared memory" in why or "semaphore" in why:
        return "give the machine or container more shared memory (docker run --shm-size=256m)"
    if any(words in why for words in ("No space left on device", "free disk space", "File too large")):
        return "free some disk space and start again"
    if "could not look up effective user ID" in why:
        return "give this user an entry in /etc/passwd, or set DATABASE_URL"
    if "Permission denied" in why:
        return "let the server's user reach that path, or set AGENT_WORKER_DATA_DIR to another folder"
    return f"mend the cause and start again (the whole log is {place.log.path}), or set DATABASE_URL"


def _initdb(built: Path, place: Place, binaries: Binaries, account: Account, *, password_file: Path) -> None:
    command = [
        binaries.program("initdb"),
        f"--pgdata={built}",
        f"--username={USER}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--no-instructions",
        "--no-sync",
    ]
    for locale in _locales(binaries.major):
        said = account.run([*command, *locale], timeout_s=INITDB_TIMEOUT_S)
        with place.log.append() as log:
            log.write(said.stdout.encode())
        if said.returncode == 0:
            return
        if "invalid locale" not in said.stdout:
            break
    why = trouble(said.stdout)
    raise DatabaseUnavailable(f"initdb could not make a database in {built} · {why} · {advice(why, place)}")


def _locales(major: int) -> list[list[str]]:
    """Return initdb's locale options, best first: UTF-8 aware case mapping, sorting by code point everywhere."""
    if major >= _BUILTIN_LOCALE_SINCE:
        return [["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]]
    return [["--locale=C.UTF-8"], ["--locale=C"]]  # the first is missing on some systems


def _sync(cluster: str) -> None:
    for folder, _, files in os.walk(cluster):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            with suppress(OSError):  # the running server removes files as it goes
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)


def _options(place: Place, settings: Mapping[str, str]) -> list[str]:
    chosen = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return ["-D", os.path.realpath(place.cluster), *chosen]


def _write_for(account: Account, path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        if not account.is_ours:
            os.fchown(file.fileno(), account.uid, account.gid)
