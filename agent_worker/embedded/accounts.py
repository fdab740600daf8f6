"""Who the server runs as: PostgreSQL refuses root, so root hands it to an unprivileged account.

Nobody's permissions are changed for that. Whether the account reaches a directory or a program is found out
by trying as that account, because modes alone do not tell (ACLs, mount options, security modules).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_worker.domain.errors import ConfigurationError, DatabaseUnavailable

if sys.platform != "win32":
    import pwd

UNPRIVILEGED = ("postgres", "_postgres", "nobody")
"""Accounts that root may hand the server to, best first. initdb needs one with an entry in passwd."""

PROBE_TIMEOUT_S = 10.0

_KEPT_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "LOCPATH")


@dataclass(frozen=True, slots=True)
class Account:
    """The account a server runs as.

    Attributes:
        uid: Its user id, never 0.
        gid: Its only group; supplementary groups are dropped.
        name: For messages.
    """

    uid: int
    gid: int
    name: str

    @property
    def is_ours(self) -> bool:
        """Whether this process already runs as the account, so that nothing has to be handed over."""
        return self.uid == os.geteuid()

    def run(
        self, command: Sequence[str], *, stdin: str = "", timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this account and collect what it says, both streams joined in `stdout`.

        It starts in `/`, because the caller's directory may be closed to the account, and with a bare
        environment.

        Raises:
            OSError: The program is out of the account's reach, or this process may not become it.
            DatabaseUnavailable: It took longer than `timeout_s` seconds; it was killed.
        """
        # extra_groups is not empty on purpose: some releases of CPython skip setgroups() for an empty list.
        switch = {} if self.is_ours else {"user": self.uid, "group": self.gid, "extra_groups": [self.gid]}
        try:
            return subprocess.run(  # type: ignore[call-overload,no-any-return]  # mypy cannot unpack mixed keywords
                command,
                input=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
                cwd="/",
                env=bare_environment(),
                umask=0o077,
                **switch,
            )
        except subprocess.TimeoutExpired as exc:
            raise DatabaseUnavailable(
                f"{command[0]} did not end within {timeout_s:.0f} s · the disk or the machine may be overloaded · "
                "try again, or set DATABASE_URL"
            ) from exc

    def reaches(self, directory: Path) -> bool:
        """Tell whether the account can enter `directory` by its absolute path and write there."""
        return self._succeeds('cd "$1" && test -w .', directory)

    def enters(self, directory: Path) -> bool:
        """Tell whether the account can enter `directory` by its absolute path."""
        return self._succeeds('cd "$1"', directory)

    def _succeeds(self, script: str, directory: Path) -> bool:
        command = ["/bin/sh", "-c", script, "sh", str(directory)]
        return self.run(command, timeout_s=PROBE_TIMEOUT_S).returncode == 0


def account_for(cluster: Path) -> Account:
    """Choose the account: ourselves, or, for root, whoever owns the cluster, or an unprivileged one.

    Args:
        cluster: Where the cluster is; it need not exist.

    Raises:
        ConfigurationError: The cluster belongs to somebody else, or root finds no account to hand it to, or
            may not switch users (a container without CAP_SETUID).
    """
    uid = os.geteuid()
    owner = cluster.stat().st_uid if cluster.exists() else None
    if uid == 0:
        account = _unprivileged(cluster, owner)
        _require_switch(account)
        return account
    if owner not in {None, uid}:
        raise ConfigurationError(
            f"the database in {cluster} belongs to another user (uid {owner}) · it was started as that user, "
            "or as root · use the same user, or set AGENT_WORKER_DATA_DIR to another folder"
        )
    return Account(uid, os.getegid(), _name_of(uid))


def bare_environment() -> dict[str, str]:
    """Return the environment of the server and its tools.

    Bare because PG* variables would change what they do, and because a superuser's SQL can read the
    server's environment, where provider keys have no business.
    """
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **kept}


def _unprivileged(cluster: Path, owner: int | None) -> Account:
    if owner == 0:
        raise ConfigurationError(
            f"the database in {cluster} belongs to root · PostgreSQL refuses to run as root · "
            "give the folder to an unprivileged user with chown -R, or set DATABASE_URL"
        )
    if owner is not None:
        return Account(owner, cluster.stat().st_gid, _name_of(owner))
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid, name)
    raise ConfigurationError(
        f"the embedded PostgreSQL has no user to run as · PostgreSQL refuses root, and none of "
        f"{', '.join(UNPRIVILEGED)} exists · start agent-worker as a normal user, or set DATABASE_URL"
    )


def _require_switch(account: Account) -> None:
    try:
        account.run(["/bin/sh", "-c", ":"], timeout_s=PROBE_TIMEOUT_S)
    except OSError as exc:
        raise ConfigurationError(
            f"the embedded PostgreSQL cannot run as the user {account.name!r} · root may not switch users here: "
            f"{exc.strerror} · start agent-worker as a normal user, or set DATABASE_URL"
        ) from exc


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # containers run as numbers without an entry
        return str(uid)
