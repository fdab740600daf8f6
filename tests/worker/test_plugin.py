"""The example package is found, set and run as any other processor once it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "custom_processor"
SETTING = "AGENT_WORKER_CSV_REPORT_MAX_ROWS"


def run(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=EXAMPLE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the built and installed example, beside and not in this environment."""
    target = str(tmp_path_factory.mktemp("site"))
    run("-m", "pip", "install", "-qq", "--no-deps", "--no-build-isolation", "--target", target, str(EXAMPLE))
    return target


def test_installed_plug_in_is_found(installed: str) -> None:
    code = "from agent_worker.registry import build_processors; print(type(build_processors()['csv_report']).__module__)"
    assert run("-c", code, PYTHONPATH=installed) == "csv_report\n"


def test_settings_of_a_plug_in_are_listed_with_all_others(installed: str) -> None:
    command = ("-m", "agent_worker.cli", "config", "--json")
    rows = json.loads(run(*command, **{"PYTHONPATH": installed, SETTING: "7"}))
    assert [row["value"] for row in rows if row["name"] == SETTING] == ["7"]


def test_the_examples_own_tests_pass() -> None:
    assert "passed" in run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE))
