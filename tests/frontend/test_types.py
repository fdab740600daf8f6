"""The TypeScript types of the tables are those of the migrations."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.frontend_types import typescript

TYPES = Path(__file__).parents[2] / "frontend_client" / "src" / "core" / "schema.ts"


def test_the_types_of_the_tables_are_current(pytestconfig: pytest.Config, database_url: str) -> None:
    """A migration changed a table: write the file anew with `pytest tests/frontend/test_types.py --update-schema`."""
    generated = typescript(database_url)

    if pytestconfig.getoption("--update-schema"):
        TYPES.write_text(generated, encoding="utf-8")

    assert generated == TYPES.read_text(encoding="utf-8")
