"""The tables of this test's database, as a client sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_worker.db.connection import Database
from tests.worker.conftest import Rows

LONGEST_S = 400
"""What a test may take on a busy machine: programs are started again and again, and a model may think."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what is in here more time."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(LONGEST_S))


@pytest.fixture
def rows(db: Database) -> Rows:
    return Rows(db)
