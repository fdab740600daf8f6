"""Where things lie: the data directory, and a place outside it for what root may not keep there.

As root, the server's account must be able to walk to the cluster and to the programs. Below a home of mode
0700 it cannot, and opening the home is not ours to do. Then the cluster lies in `/var/lib/agent-worker`
(data directories below a temporary directory: there), and `<data_dir>/postgres` is a link to it, so whoever
looks finds it and whoever deletes the data directory starts empty. The wheel's programs are copied to the same
place, once per version.

Shared directories such as /tmp are used only through a directory of our own in them, which must not be a link,
must belong to us, and must not be writable to others; a name somebody else took first is passed over.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent_worker.domain.errors import ConfigurationError
from agent_worker.embedded.accounts import Account
from agent_worker.embedded.locks import cluster_lock, decision_lock
from agent_worker.embedded.log import ServerLog

REMOVE_TIMEOUT_S = 30.0
"""Longest wait for another process that starts or stops the server, before its data is removed."""

_LIBRARY_LEFTOVERS = shutil.ignore_patterns("*.a", "*.py", "__pycache__", "include", "doc")


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one data directory, by name."""

    data_dir: Path

    @property
    def cluster(self) -> Path:
        """The cluster, or the link to it."""
        return self.data_dir / "postgres"

    @property
    def state(self) -> Path:
        """How to reach the running server."""
        return self.data_dir / "postgres.json"

    @property
    def lock(self) -> Path:
        """Held while somebody decides to start or join."""
        return self.data_dir / "postgres.lock"

    @property
    def log(self) -> ServerLog:
        """What initdb and the server said."""
        return ServerLog(self.data_dir / "postgres.log")


def open_place(data_dir: Path) -> Place:
    """Create the data directory if need be and return its files' names, all absolute.

    As root a new directory is 0711: the account walks through, everything in it is 0600 or 0700.

    Raises:
        ConfigurationError: It cannot be created or written.
    """
    path = Path(os.path.realpath(data_dir))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_ours(path, mode=0o711 if os.geteuid() == 0 else 0o700)
    except OSError as exc:
        raise _unusable(path, exc.strerror or str(exc)) from exc
    if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
        raise _unusable(path, "it is not a directory this user can write")
    place = Place(path)
    for file in (place.state, place.lock, place.log.path):
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            raise _unusable(path, f"{file.name} in it belongs to another user")
    return place


def new_stage(place: Place, account: Account) -> Path:
    """Make an empty 0700 directory of the account, in the first place it can reach, for a cluster to be built in.

    The caller holds the data directory's lock. The name is new each time, because the initdb of a start that was
    killed may still be writing.

    Raises:
        ConfigurationError: The account reaches no place that this process can write.
    """
    why = "no place was tried"
    for base in (place.data_dir, *_shared_bases(account, near=place.data_dir)):
        clear_stages(base, place)
        stage = base / f"{_stage_prefix(place)}{secrets.token_hex(4)}"
        try:
            _make_for(account, stage)
        except OSError as exc:
            why = f"{stage}: {exc.strerror or exc}"
            continue
        if account.is_ours or account.reaches(stage):
            return stage
        shutil.rmtree(stage)
        why = f"the user {account.name!r} does not reach {base}"
    raise _unusable(place.data_dir, why)


def clear_stages(base: Path, place: Place) -> None:
    """Remove this data directory's stages in `base`: those in use are ours, the others were left by killed starts."""
    for stage in base.glob(f"{_stage_prefix(place)}*"):
        shutil.rmtree(stage, ignore_errors=True)


def publish(built: Path, place: Place) -> None:
    """Give a cluster finished in a stage its name in one rename, so that a killed start leaves none half made."""
    base = built.parent.parent
    if base == place.data_dir:
        built.rename(place.cluster)
        return
    project = re.sub(r"[^A-Za-z0-9]+", "-", place.data_dir.parent.name).strip("-")[:40] or "data"
    home = base / f"{project}-{secrets.token_hex(4)}"
    built.rename(home)
    place.cluster.symlink_to(home)


def remove_data(data_dir: Path) -> None:
    """Delete the cluster of a data directory, wherever it lies, and our files beside it; nothing to delete is fine.

    Deleting the directory by hand leaves the cluster behind when it lies elsewhere.

    Raises:
        DatabaseUnavailable: A server runs on it; stop it first.
        ConfigurationError: It belongs to another user.
    """
    place = open_place(data_dir)
    with decision_lock(place.lock, timeout_s=REMOVE_TIMEOUT_S):
        if place.cluster.exists():
            with cluster_lock(place.cluster):
                shutil.rmtree(os.path.realpath(place.cluster))
        for path in (place.cluster, place.state, place.log.path):
            path.unlink(missing_ok=True)


def reachable_copy(parts: Mapping[str, Path], *, name: str, account: Account) -> Path | None:
    """Copy directories to where the account can read them, once, and return the copy; None if no place does.

    Modes are set, not kept: an umask of 077 at the time of `pip install` is a reason to be here.

    Args:
        parts: Relative path in the copy → directory to copy; one that does not exist is left out.
        name: Names the content: the same name is taken for the same content.
        account: Who must be able to read it.
    """
    for base in _shared_bases(account, near=Path("/")):
        target = base / name
        if target.exists():
            return target
        draft = base / f".{name}.{os.getpid()}"
        try:
            for relative, source in parts.items():
                if source.is_dir():
                    shutil.copytree(source, draft / relative, ignore=_LIBRARY_LEFTOVERS)
            _open_for_reading(draft)
            draft.rename(target)
        except OSError:  # no space here, or another process was first
            shutil.rmtree(draft, ignore_errors=True)
        if target.exists():
            return target
    return None


def _stage_prefix(place: Place) -> str:
    """Tell data directories apart that share a base."""
    return f".postgres-{hashlib.sha256(os.fsencode(place.data_dir)).hexdigest()[:16]}-"


def _make_ours(directory: Path, *, mode: int) -> None:
    """Create the directory unless it exists; `mode` is exact, whatever the umask, and only for a new one."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        return
    directory.chmod(mode)


def _make_for(account: Account, directory: Path) -> None:
    directory.mkdir(mode=0o700)
    if account.is_ours:
        return
    try:
        os.chown(directory, account.uid, account.gid, follow_symlinks=False)
    except OSError:  # a file system that knows no owners
        directory.rmdir()
        raise


def _shared_bases(account: Account, *, near: Path) -> Iterator[Path]:
    """Yield directories of ours outside every home that the account can walk through; root only."""
    if account.is_ours:
        return
    temporary = _temporary() / f"agent-worker-{os.geteuid()}"
    lasting = (Path("/var/lib/agent-worker"), Path("/var/tmp") / temporary.name)  # noqa: S108 - checked by _is_ours
    ordered = (temporary, *lasting) if near.is_relative_to(_temporary()) else (*lasting, temporary)
    for base in ordered:
        if _is_ours(base) and account.enters(base):
            yield base


def _is_ours(base: Path) -> bool:
    try:
        _make_ours(base, mode=0o711)
        found = base.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _open_for_reading(root: Path) -> None:
    """Let everybody read, and put it on disk: the name will stand for whole files, after a power cut too."""
    for folder, _, files in os.walk(root):
        Path(folder).chmod(0o755)
        for name in files:
            with Path(folder, name).open("rb") as file:
                os.fchmod(file.fileno(), 0o755 if os.fstat(file.fileno()).st_mode & 0o100 else 0o644)
                os.fsync(file.fileno())


def _temporary() -> Path:
    return Path(os.path.realpath(tempfile.gettempdir()))


def _unusable(data_dir: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the data directory {data_dir} cannot be used · {why} · set AGENT_WORKER_DATA_DIR to a folder of your own, "
        "or set DATABASE_URL"
    )
