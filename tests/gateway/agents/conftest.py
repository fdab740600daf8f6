"""A gateway with agents, a worker that runs them, and two users."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest

from agent_worker.db.connection import Database
from agent_worker.processors.pipeline import Pipeline, PipelineSettings
from agent_worker.worker.worker import Worker
from tests.gateway.agents.serving import AgentsGateway, agents_gateway
from tests.worker.conftest import Rows, StartWorker, project, start_worker, way

__all__ = ["project", "start_worker", "way"]


@pytest.fixture
def rows(db: Database) -> Rows:
    return Rows(db)


@pytest.fixture
async def gateway(database_url: str, db: Database) -> AsyncIterator[AgentsGateway]:
    async with agents_gateway(database_url, db) as opened:
        await opened.push("echo", "tool", "approval", "wait", "talk")
        yield opened


@pytest.fixture
async def worker(start_worker: StartWorker) -> AsyncIterator[Worker]:
    async with start_worker(Pipeline(PipelineSettings())) as started:
        yield started


@pytest.fixture
def ann_id() -> UUID:
    return uuid4()


@pytest.fixture
async def ann(gateway: AgentsGateway, ann_id: UUID) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway.client(ann_id) as client:
        yield client


@pytest.fixture
async def bob(gateway: AgentsGateway) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway.client(uuid4()) as client:
        yield client
