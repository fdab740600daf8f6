"""The package for browsers: its checks and tests, with nothing around it and against a real gateway and worker."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import site
from tests.browser.dev import Dev, free_port

pytestmark = [
    pytest.mark.node,
    pytest.mark.slow,
    pytest.mark.timeout(420),
    pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js and npm"),
]

TIMEOUT_S = 200


@pytest.fixture(scope="module")
def package() -> Path:
    """The package with what its lock file names."""
    site.install(site.CLIENT)
    return site.CLIENT


@pytest.fixture
def dev() -> Iterator[Dev]:
    """`agent-worker dev` with kinds that take their time."""
    with tempfile.TemporaryDirectory(prefix="agent-worker-test-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # root's server runs as another account, which has to walk through
        started = Dev(folder, free_port())
        started.up()
        yield started
        started.down()
        started.remove_data()


def run(package: Path, *command: str, **variables: str) -> str:
    done = subprocess.run(
        ["npm", *command],
        cwd=package,
        env={**os.environ, **variables, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_types_style_size_and_examples_are_in_order(package: Path) -> None:
    run(package, "run", "check")


def test_the_client_keeps_its_promises_whatever_fails(package: Path) -> None:
    run(package, "test")


def test_the_client_works_against_the_gateway(package: Path, dev: Dev) -> None:
    where = {"AGENT_WORKER_URL": dev.url, "AGENT_WORKER_KEY": dev.publishable_key}

    printed = run(package, "test", "--", "tests/integration/gateway", **where)

    assert "skipped" not in printed
