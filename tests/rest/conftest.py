"""The project over each test's database as a worker knows it, and the transport to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from agent_worker.db.project import Project
from agent_worker.db.rest import Rest
from tests.gateway.door import SECRET
from tests.rest.project import StandIn


@pytest.fixture
def project(stand_in: StandIn) -> Project:
    """The project's address and key."""
    return Project(stand_in.url, SecretStr(SECRET))


@pytest.fixture
async def rest(project: Project) -> AsyncIterator[Rest]:
    """An open transport to it."""
    async with Rest(project) as opened:
        yield opened
