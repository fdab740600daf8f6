"""What the gateway describes of itself, asked with everything the description allows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error

from tests.cli.program import Program, until

pytestmark = pytest.mark.slow

EXAMPLES = 15
SECRET_KEY = "sb_secret_Wq8vLr2NfYx0aJk5TzHcGd3M"


@pytest.fixture
def gateway(database_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a running gateway, with everything on, prints of itself."""
    program = Program(tmp_path, database_url)
    env = {"AGENT_WORKER_SECRET_KEY": SECRET_KEY}
    started = program.start("gateway", "--auth", "--json", "--port", "0", env=env)
    until(lambda: started.out.read_text().endswith("\n") or started.process.poll() is not None)
    yield {**json.loads(started.out.read_text()), "secret_key": SECRET_KEY}
    started.terminate()
    assert started.wait() == 0
    assert "Traceback" not in started.err.read_text()


@pytest.mark.parametrize(
    ("key", "area", "least"),
    [("publishable_key", "/", 15), ("secret_key", "/api/", 10)],
    ids=["anybody", "owner"],
)
def test_no_request_that_the_description_allows_breaks_the_gateway(
    gateway: dict[str, str], key: str, area: str, least: int
) -> None:
    schema = schemathesis.openapi.from_url(f"{gateway['url']}/openapi.json")
    headers = {"apikey": gateway[key]}
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if not operation.path.startswith(area):
            continue

        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: Case) -> None:
            response = case.call(headers=headers)
            case.validate_response(response, checks=[not_a_server_error])

        ask()
        asked += 1
    assert asked >= least
