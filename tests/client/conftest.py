"""Clients on this test's database, and a worker led by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent_worker.client import AsyncClient
from agent_worker.db.connection import Database
from tests.client.by_hand import ByHand


@pytest.fixture
def worker(db: Database) -> ByHand:
    return ByHand(db)


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[AsyncClient]:
    """A client that depends on notifications: its poll comes after the tests' patience has ended."""
    async with AsyncClient(database_url, poll_s=60.0) as opened:
        yield opened
