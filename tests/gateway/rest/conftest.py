"""Each test's database has a shop in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from tests.gateway.door import PUBLISHABLE, SECRET, token

SHOP = Path(__file__).with_name("shop.sql").read_bytes()


@pytest.fixture
def database_url(database_url: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(SHOP)
    return database_url


@pytest.fixture
def ann() -> UUID:
    return uuid4()


@pytest.fixture
def bob() -> UUID:
    return uuid4()


Speak = Callable[[UUID | str | None], httpx.AsyncClient]


@pytest.fixture
async def speak(gateway: str) -> AsyncIterator[Speak]:
    """Make a client for a user; for nobody (None), or for the service role (its name)."""
    made: list[httpx.AsyncClient] = []

    def client(who: UUID | str | None) -> httpx.AsyncClient:
        key = SECRET if who == "service_role" else PUBLISHABLE
        bearer = token(who) if isinstance(who, UUID) else key
        headers = {"apikey": key, "authorization": f"Bearer {bearer}"}
        made.append(httpx.AsyncClient(base_url=f"{gateway}/rest/v1", headers=headers))
        return made[-1]

    yield client
    for each in made:
        await each.aclose()
