"""A Realtime server, without a database but for private topics."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.topics import Topics
from tests.gateway.realtime.phone import Phone, phone
from tests.gateway.realtime.server import Gateway, running


@pytest.fixture
def topics() -> Topics:
    """Policies of a database that is away: public channels never ask."""
    return Topics(Database("postgresql://127.0.0.1:1/away", acquire_timeout_s=0.1))


@pytest.fixture
async def gateway(topics: Topics) -> AsyncIterator[Gateway]:
    async with running(topics) as started:
        yield started


@pytest.fixture(params=["1.0.0", "2.0.0"])
async def client(gateway: Gateway, request: pytest.FixtureRequest) -> AsyncIterator[Phone]:
    """A socket in each version of the protocol."""
    async with phone(gateway.socket_url(vsn=request.param)) as connected:
        yield connected
