"""A whole gateway in the test's own event loop, and a small HTTP client for it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from agent_worker.app_gateway import RunningGateway, running_gateway
from agent_worker.settings import Settings


@contextlib.asynccontextmanager
async def gateway(url: str, folder: Path, **settings: Any) -> AsyncIterator[RunningGateway]:
    """Serve a database on a free port; what is kept is kept in `folder`."""
    given = {"gateway_auth": True, "gateway_port": 0, **settings}
    async with running_gateway(Settings(database_url=url, data_dir=folder, **given), url) as running:
        yield running


class Api:
    """Asks a gateway as a program with a key does."""

    def __init__(self, running: RunningGateway) -> None:
        self.url = running.server.url
        self.publishable = running.keys.publishable.get_secret_value()
        self.secret = running.keys.secret.get_secret_value()
        self.http = httpx.AsyncClient(base_url=self.url)

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        **request: Any,
    ) -> httpx.Response:
        """Ask with the publishable key, or with another one; `token` is a session's."""
        sent = {"apikey": self.publishable if key is None else key, **(headers or {})}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return await self.http.request(method, path, headers=sent, **request)

    async def sign_up(self, email: str | None = None) -> dict[str, Any]:
        """Return the session of a new user, whose password is `correct horse`; anonymous without an address."""
        body = {"email": email, "password": "correct horse"} if email else {}
        reply = await self("POST", "/auth/v1/signup", json=body)
        assert reply.status_code == 200, reply.text
        session: dict[str, Any] = reply.json()
        return session


@contextlib.asynccontextmanager
async def api(running: RunningGateway) -> AsyncIterator[Api]:
    """A client that is closed at the end."""
    made = Api(running)
    async with made.http:
        yield made
