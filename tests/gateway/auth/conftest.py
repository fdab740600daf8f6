"""One gateway for each test, with auth/v1."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_worker.app_gateway import RunningGateway
from tests.gateway.running import Api, api, gateway


@pytest.fixture
async def running(database_url: str, tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with gateway(database_url, tmp_path / "data") as started:
        yield started


@pytest.fixture
async def ask(running: RunningGateway) -> AsyncIterator[Api]:
    async with api(running) as made:
        yield made
