"""The tables of this test's database, as a client sees them."""

from __future__ import annotations

import pytest

from agent_worker.db.connection import Database
from tests.worker.conftest import Rows


@pytest.fixture
def rows(db: Database) -> Rows:
    return Rows(db)
