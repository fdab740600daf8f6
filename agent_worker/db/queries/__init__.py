"""One SQL statement per file, named after the method that runs it."""

from __future__ import annotations

import functools
import importlib.resources
from typing import LiteralString


@functools.cache
def sql(name: str) -> LiteralString:
    """Return the statement in `queries/NAME.sql`. It is part of the package, hence literal to the driver's typing."""
    return importlib.resources.files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
