"""Every alert stands on metrics that exist, and Prometheus' own tool agrees with the rules."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent_worker.settings import Settings
from agent_worker.worker.worker import MAX_UNRECORDED
from tests.deploy.files import DEPLOY, ROOT, Manifest, documents
from tests.docs.pages import rows

RULES = DEPLOY / "prometheus-alerts.yaml"


def alerts() -> list[Manifest]:
    (found,) = documents(RULES)
    return [rule for group in found["groups"] for rule in group["rules"]]


def test_every_metric_in_a_rule_exists() -> None:
    listed = {(row[0].strip("`"), row[1]) for row in rows(ROOT / "docs" / "operate.md", heading="metric")}
    known = {name for name, _ in listed}
    known |= {
        f"{name}_{part}" for name, kind in listed if kind == "histogram" for part in ("bucket", "count")
    }
    for alert in alerts():
        named = set(re.findall(r"\bagent_worker_\w+", alert["expr"]))
        assert named, alert["alert"]
        assert named <= known, alert["alert"]


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for alert in alerts():
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert set(alert["annotations"]) == {"summary", "action"}
    assert len({alert["alert"] for alert in alerts()}) == len(alerts())


def test_thresholds_are_those_of_the_defaults() -> None:
    by_name = {alert["alert"]: alert for alert in alerts()}
    assert by_name["AgentWorkerHeartbeatLate"]["expr"].endswith(
        f"> {Settings.model_fields['lease_s'].default / 2:g}"
    )
    assert f"{MAX_UNRECORDED:,}" in by_name["AgentWorkerOutcomesUnwritten"]["annotations"]["summary"]


def test_every_alert_has_series_that_raise_it() -> None:
    raised = (Path(__file__).parent / "alerts.test.yaml").read_text()
    for alert in alerts():
        assert f'alertname="{alert["alert"]}"' in raised


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here")
def test_alerts_are_raised_by_broken_fleets_and_not_by_healthy_ones() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", str(Path(__file__).parent / "alerts.test.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
