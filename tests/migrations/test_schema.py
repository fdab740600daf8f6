"""The migrations lead to the committed schema, so that a review sees what a change of them means."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.migrations.normal_form import normal_form

COMMITTED = Path(__file__).with_name("schema.txt")


def test_an_empty_database_becomes_the_committed_schema(
    database_url: str, pytestconfig: pytest.Config
) -> None:
    found = normal_form(database_url)
    if pytestconfig.getoption("--update-schema"):
        COMMITTED.write_text(found, encoding="utf-8")

    committed = COMMITTED.read_text(encoding="utf-8")
    assert found == committed, "run: pytest tests/migrations/test_schema.py --update-schema"
