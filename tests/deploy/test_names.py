"""Whatever deploy/ names exists: settings, commands, options, metrics, files and this release's version."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from agent_worker import __version__
from agent_worker.settings import Settings, env_names
from tests.deploy.files import (
    DEPLOY,
    FILES,
    ROOM_TO_END_S,
    ROOT,
    compose,
    containers,
    instructions,
    manifest,
    name_of,
    seconds,
)

SETTINGS = {name for field in Settings.model_fields for name in env_names(Settings, field)}
NOT_OURS = {"PGPASSWORD", "POSTGRES_PASSWORD"}


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".yaml"], ids=name_of)
def test_yaml_parses(path: Path) -> None:
    assert list(yaml.safe_load_all(path.read_text()))


def settings_given() -> Iterator[str]:
    for service in compose()["services"].values():
        yield from service["environment"]
    for container in containers():
        yield from (each["name"] for each in container["env"])
    for line in instructions("ENV"):
        yield from (word.partition("=")[0] for word in line.split())


def test_every_variable_that_is_set_is_a_setting() -> None:
    of_python_and_the_shell = {"PATH", "PYTHONDONTWRITEBYTECODE"}
    assert set(settings_given()) <= SETTINGS | NOT_OURS | of_python_and_the_shell


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_setting_that_is_mentioned_exists(path: Path) -> None:
    assert set(re.findall(r"\bAGENT_WORKER_[A-Z_]*[A-Z]\b", path.read_text())) <= SETTINGS


def commands() -> set[str]:
    given = {shlex.join(each["args"]) for each in containers()}
    given |= {
        shlex.join(service["command"]) for service in compose()["services"].values() if "command" in service
    }
    given |= {shlex.join(yaml.safe_load(line)) for line in instructions("CMD")}
    given |= set(re.findall(r"^ExecStart=\S*/agent-worker (.+)$", unit(), re.MULTILINE))
    for path in FILES:
        given |= set(re.findall(r"\bagent-worker ((?:tasks list|status)[a-z0-9 -]*)", path.read_text()))
    return given


def unit() -> str:
    return (DEPLOY / "agent-worker.service").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(commands()))
def test_every_command_and_option_exists(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent_worker.cli", *shlex.split(command), "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_image_is_this_releases() -> None:
    images = {each["image"] for each in containers()}
    images |= {compose()["services"][name]["image"] for name in ("migrate", "worker")}
    assert images == {f"agent-worker:{__version__}"}
    for path in FILES:
        for version in re.findall(r"agent-worker:([0-9.]+)", path.read_text()):
            assert version == __version__, name_of(path)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_that_is_named_exists(path: Path) -> None:
    for named in re.findall(r"\b(?:deploy|docs|tests|scripts)/[\w./-]*\w", path.read_text()):
        assert (ROOT / named).exists(), named


def test_everybody_waits_longer_for_a_worker_than_it_takes_to_drain() -> None:
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    given = {each["name"]: each.get("value") for each in container["env"]}
    worker = compose()["services"]["worker"]
    (stop_timeout_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit(), re.MULTILINE)
    default_s = Settings.model_fields["shutdown_grace_s"].default

    assert pod["terminationGracePeriodSeconds"] > int(given["AGENT_WORKER_SHUTDOWN_GRACE_S"]) + ROOM_TO_END_S
    assert (
        seconds(worker["stop_grace_period"])
        > int(worker["environment"]["AGENT_WORKER_SHUTDOWN_GRACE_S"]) + ROOM_TO_END_S
    )
    assert int(stop_timeout_s) > default_s + ROOM_TO_END_S


def test_compose_starts_workers_after_the_tables_and_can_scale_them() -> None:
    services = compose()["services"]
    assert services["worker"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert not {"ports", "container_name"} & set(services["worker"])
    (volume,) = services["postgres"]["volumes"]
    assert volume.partition(":")[0] in compose()["volumes"]
    build = services["worker"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
