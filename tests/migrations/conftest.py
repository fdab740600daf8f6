"""A database that has to become ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent_worker.testing.postgres import TestDatabases


@pytest.fixture
def empty_url(databases: TestDatabases) -> Iterator[str]:
    """A database without anything of ours. The server may have Supabase's roles from other tests."""
    with databases.empty() as url:
        yield url
