"""A gateway over each test's database, on a free port, and the clients that speak with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agent_worker.db.access.access import Access
from agent_worker.db.connection import Database
from tests.gateway.serving import gateway_database, serving, started
from tests.node import beside, installed

JS = Path(__file__).parent / "js"


@pytest.fixture
async def gateway_db(database_url: str) -> AsyncIterator[Database]:
    """The gateway's own pool."""
    async with gateway_database(database_url) as opened:
        yield opened


@pytest.fixture
async def access(gateway_db: Database) -> AsyncIterator[Access]:
    async with started(Access(gateway_db)) as opened:
        yield opened


@pytest.fixture
async def gateway(access: Access) -> AsyncIterator[str]:
    """The URL of a running gateway."""
    async with serving(access) as url:
        yield url


@pytest.fixture(scope="session")
def node_modules(pytestconfig: pytest.Config) -> Path:
    """The folder with the packages of `js/package.json`, installed once and kept in pytest's cache."""
    return installed(pytestconfig, "gateway-js", JS / "package.json") / "node_modules"


Script = Callable[..., Awaitable[Any]]


@pytest.fixture
def run_script(node_modules: Path) -> Script:
    """Run a script of `js/` with the environment that is given, and return what it printed last, as JSON."""

    async def run(name: str, **env: str) -> Any:
        script = beside(node_modules, JS / name)
        process = await asyncio.create_subprocess_exec(
            str(node_modules / ".bin" / "node"),
            str(script),
            env=env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, out.decode() + err.decode()
        return json.loads(out.decode().splitlines()[-1])

    return run
