"""A real worker, as the engine's tests have it, and models behind a scripted server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_worker.llm.models import Models
from agent_worker.llm.retry import RetryPolicy
from agent_worker.testing.openai_server import ScriptedOpenAI
from tests.worker.conftest import project, rows, start_worker, way

__all__ = ["project", "rows", "start_worker", "way"]


@pytest.fixture
async def models(server: ScriptedOpenAI, tmp_path: Path) -> AsyncIterator[Models]:
    """They ask once: what is tried again is the pipeline's to say."""
    made = Models(openai_base_url=server.base_url, data_dir=tmp_path, retry=RetryPolicy(tries=1))
    yield made
    await made.close()
