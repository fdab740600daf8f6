"""The file that tells other processes how to reach the server of a data directory.

It is a hint, never a proof: a power cut leaves it behind. Whoever reads it connects before believing it, and
the password in it, random for each cluster, makes sure that the one who answers is the right one.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self
from urllib.parse import quote

USER = "postgres"
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ServerState:
    """One start of a server; it stays behind when the server stops, for the sake of password and port.

    Attributes:
        url: With the password and the database the owner asked for.
        password: Of the superuser `postgres`; letters and digits only.
        port: On 127.0.0.1.
        pid: Of the postmaster.
        owner_pid: Of the process that started it.
        version: As PostgreSQL says it: `18.6`.
    """

    url: str
    password: str
    port: int
    pid: int
    owner_pid: int
    version: str

    @property
    def has_owner(self) -> bool:
        """Whether its owner lives, as far as pids can tell: a server without one is about to stop."""
        return is_alive(self.owner_pid)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return what the file says, or None when it is absent, damaged, or of another release."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        types = {field.name: str if field.type == "str" else int for field in fields(cls)}
        if not isinstance(found, dict) or found.keys() != types.keys():
            return None
        if not all(type(found[name]) is wanted for name, wanted in types.items()):
            return None
        return cls(**found)

    def write(self, path: Path) -> None:
        """Replace the file, mode 0600, in one rename.

        Raises:
            OSError: The directory cannot be written.
        """
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(self), file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def server_url(*, password: str, port: int, database: str) -> str:
    """Return the libpq URL of one database of the server."""
    return f"postgresql://{USER}:{password}@{HOST}:{port}/{quote(database, safe='')}"


def is_alive(pid: int) -> bool:
    """Tell whether a process of that number exists, whoever it belongs to."""
    if pid <= 0:
        return False
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
