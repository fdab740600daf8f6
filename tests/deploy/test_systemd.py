"""systemd understands every line of the unit, and finds little to complain about."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY

UNIT = DEPLOY / "agent-worker.service"

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is installed here."""
    text = UNIT.read_text()
    assert "/opt/agent-worker/bin/agent-worker" in text
    program = str(Path(sys.executable).with_name("agent-worker"))
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace("/opt/agent-worker/bin/agent-worker", program))
    return copy


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


def test_the_unit_has_no_unknown_setting_and_no_wrong_value(unit: Path) -> None:
    done = analyze("verify", "--man=no", str(unit))
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, complaints) == (0, [])


def test_the_service_is_exposed_no_more_than_it_must(unit: Path) -> None:
    done = analyze("security", "--offline=true", str(unit))
    if "Unknown argument" in done.stderr or "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze looks at running services only")
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert float(exposure) < 2.0
