"""A gateway over each test's database, on a free port, and the clients that speak with it."""

from __future__ import annotations

import asyncio
import fcntl
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import psycopg
import pytest
import uvicorn
from fastapi import FastAPI

from agent_worker.db.access.access import Access
from agent_worker.db.access.acting import give_up_rights
from agent_worker.db.connection import Database
from agent_worker.domain.caller import Caller
from agent_worker.domain.errors import GatewayError
from agent_worker.gateway.rest.routes import router
from tests.waiting import eventually

JS = Path(__file__).parent / "js"
INSTALL_TIMEOUT_S = 300

PUBLISHABLE = "sb_publishable_Zt4mBn7RsEu1oPi9VxCyLa2K"
SECRET = "sb_secret_Wq8vLr2NfYx0aJk5TzHcGd3M"
JWT_SECRET = "a-secret-of-this-test-and-of-nothing-else"

ROLES = """
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticator') THEN
    CREATE ROLE authenticator LOGIN NOINHERIT;
  END IF;
  GRANT anon, authenticated, service_role TO authenticator;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""


def token(user_id: UUID | str, **claims: Any) -> str:
    """Sign a user in."""
    now = int(time.time())
    known = {"sub": str(user_id), "role": "authenticated", "aud": "authenticated", "exp": now + 3600}
    return jwt.encode(known | claims, JWT_SECRET, algorithm="HS256")


class Door:
    """Lets in whoever has one of the keys, or a token that we signed."""

    async def admit(self, *, apikey: str | None, bearer: str | None, user_agent: str = "") -> Caller:
        roles = {PUBLISHABLE: "anon", SECRET: "service_role"}
        if apikey not in roles:
            raise GatewayError("Invalid API key", status=401, code="PGRST301")
        if bearer is None or bearer == apikey:
            return Caller(roles[apikey], {"role": roles[apikey]})
        try:
            claims = jwt.decode(bearer, JWT_SECRET, ["HS256"], audience="authenticated")
        except jwt.InvalidTokenError as exc:
            raise GatewayError(str(exc), status=401, code="PGRST301") from exc
        return Caller(claims["role"], claims, claims["exp"])


class Server(uvicorn.Server):
    """A server in this event loop, on a port of its own choice."""

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.servers[0].sockets[0].getsockname())


@pytest.fixture
async def gateway_db(database_url: str) -> AsyncIterator[Database]:
    """The gateway's own pool."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(ROLES)
    async with Database(database_url, max_size=4, configure=give_up_rights) as opened:
        yield opened


@pytest.fixture
async def access(gateway_db: Database) -> AsyncIterator[Access]:
    started = Access(gateway_db)
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
async def gateway(access: Access) -> AsyncIterator[str]:
    """The URL of a running gateway."""
    app = FastAPI()
    app.state.door = Door()
    app.include_router(router(access))
    server = Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    task = asyncio.create_task(server.serve())

    async def listens() -> bool:
        return server.started

    await eventually(listens)
    yield server.url
    server.should_exit = True
    await task


@pytest.fixture(scope="session")
def node_modules(pytestconfig: pytest.Config) -> Path:
    """The folder with the packages of `js/package.json`, installed once and kept in pytest's cache."""
    if shutil.which("npm") is None:
        pytest.skip("needs Node.js and npm")
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("gateway-js")
    wanted = (JS / "package.json").read_text(encoding="utf-8")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes, one installation
        installed = folder / "installed.json"
        if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
            (folder / "package.json").write_text(wanted, encoding="utf-8")
            # With its install script: that is what brings Node.js 22.
            subprocess.run(
                ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"],
                cwd=folder,
                check=True,
                capture_output=True,
                timeout=INSTALL_TIMEOUT_S,
            )
            installed.write_text(wanted, encoding="utf-8")
    return folder / "node_modules"


Script = Callable[..., Awaitable[Any]]


@pytest.fixture
def run_script(node_modules: Path) -> Script:
    """Run a script of `js/` with the environment that is given, and return what it printed last, as JSON."""

    async def run(name: str, **env: str) -> Any:
        script = node_modules.parent / name
        script.write_bytes((JS / name).read_bytes())  # imports are looked up from where it lies
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
