"""The migrations of this release, as files: where they lie, and how they are cut into statements.

A wheel carries them inside the package; an editable install leaves them where they are written, in the root of the
repository.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType

from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.records import Record

_FILE_NAME = re.compile(r"(\d{14})_([a-z0-9_]+)\.sql")

_TOKEN = re.compile(
    r"""--[^\n]*             # a comment to the end of the line
      | /\*.*?\*/            # a comment in the line
      | '(?:[^']|'')*'       # text
      | "(?:[^"]|"")*"       # a quoted name
      | (\$\w*\$).*?\1       # text between dollar tags: the body of a function
      | ;
    """,
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Migration(Record):
    """One step of the schema; `version` is the 14 digits its file's name begins with, `name` is the rest."""

    version: str
    name: str

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"{self.version}_{self.name}.sql"


@functools.cache
def load_migrations() -> Mapping[Migration, str]:
    """Return this release's migrations with their SQL, in order of application.

    Raises:
        ConfigurationError: The installation has none.
    """
    files = ((file, _FILE_NAME.fullmatch(file.name)) for file in find_migrations())
    return MappingProxyType(
        {Migration(*match.groups()): file.read_text(encoding="utf-8") for file, match in files if match}
    )


def find_migrations(package: Traversable | None = None) -> tuple[Traversable, ...]:
    """Return the SQL files in order of application.

    Args:
        package: Root of the package; None means this one.

    Raises:
        ConfigurationError: The installation has none.
    """
    package = package or importlib.resources.files("agent_worker")
    inside = package.joinpath("migrations")
    root = inside if inside.is_dir() else Path(str(package)).parent / "migrations"
    files = sorted(root.iterdir(), key=lambda file: file.name) if root.is_dir() else []
    found = tuple(file for file in files if _FILE_NAME.fullmatch(file.name))
    if not found:
        raise ConfigurationError(
            f"this installation of agent-worker has no migrations · nothing is in {inside} · install it again"
        )
    return found


def bootstrap_file() -> Traversable:
    """Return what gives a plain PostgreSQL the roles and functions that every Supabase project has."""
    return importlib.resources.files("agent_worker.db").joinpath("bootstrap.sql")


def split_statements(text: str) -> list[str]:
    """Cut a file into the statements that `supabase db push` would record: trimmed, without their semicolons."""
    ends = [token.start() for token in _TOKEN.finditer(text) if token.group() == ";"]
    pieces = [
        text[start:end] for start, end in zip([0, *(end + 1 for end in ends)], [*ends, None], strict=True)
    ]
    return [stripped for piece in pieces if (stripped := piece.strip())]
