"""Workers over HTTP from JavaScript: our package, and the worker protocol's own, against a real gateway and worker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent_worker.domain.json import JsonObject
from agent_worker.testing.openai_server import JsonText, Reply, ScriptedOpenAI, Slow, Status, Text, ToolCall
from tests.browser import site
from tests.browser.dev import Dev, free_port
from tests.frontend.test_package import run
from tests.node import installed

pytestmark = [
    pytest.mark.node,
    pytest.mark.slow,
    pytest.mark.timeout(420),
    pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js and npm"),
]


EXAMPLES = site.ROOT / "examples" / "pipelines"


def reply_to(request: JsonObject) -> Reply:
    """Look up what is asked if there is a tool for it, and answer with what was found, in the form that is wanted."""
    messages = request["messages"]
    assert isinstance(messages, Sequence)
    last = messages[-1]
    assert isinstance(last, Mapping)
    text = str(last["content"])
    if last["role"] == "tool":
        return Text(f"Found: {text}")
    if "refuse" in text:
        return Status(400, message="scripted refusal")
    if "slowly" in text:
        return Slow(per_token_s=0.1, text="well " * 300)
    if request.get("response_format"):
        return JsonText({"title": text, "stars": 5})
    return ToolCall("web-search", {"query": text}) if request.get("tools") else Text(f"You asked: {text}")


@pytest.fixture(scope="module")
def dev() -> Iterator[Dev]:
    """`agent-worker dev` with a scripted model, `openai/scripted`."""
    with (
        ScriptedOpenAI(default=reply_to) as model,
        tempfile.TemporaryDirectory(prefix="agent-worker-test-") as name,
    ):
        folder = Path(name)
        folder.chmod(0o711)  # root's server runs as another account, which has to walk through
        started = Dev(
            folder, free_port(), {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": "sk-scripted"}
        )
        started.up()
        yield started
        started.down()
        started.remove_data()


@pytest.fixture(scope="module")
def octavus(pytestconfig: pytest.Config) -> Path:
    """The folder with the worker protocol's packages from npm, unmodified."""
    site.install(site.CLIENT)
    return installed(pytestconfig, "octavus", Path(__file__).parent / "octavus" / "package.json")


@dataclass(frozen=True, slots=True)
class Printed:
    """What their command left."""

    code: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


Cli = Callable[..., Printed]


@pytest.fixture
def cli(dev: Dev, octavus: Path, tmp_path: Path) -> Cli:
    """Run `octavus … --json`, with the gateway's address and key unless others are given."""
    program = octavus / "node_modules" / "@octavus" / "cli" / "dist" / "index.js"
    node = site.CLIENT / "node_modules" / ".bin" / "node"

    def run_cli(*arguments: str, key: str | None = dev.secret_key) -> Printed:
        env = {"PATH": os.environ["PATH"], "OCTAVUS_API_URL": dev.url}
        done = subprocess.run(
            [node, program, *arguments, "--json"],
            cwd=tmp_path,  # it reads .env there
            env=env if key is None else {**env, "OCTAVUS_API_KEY": key},
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        return Printed(done.returncode, done.stdout or done.stderr)

    return run_cli


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A definition under a slug that no other test uses."""
    copied = tmp_path / "definition"
    shutil.copytree(EXAMPLES / "summarise", copied)
    settings = json.loads((copied / "settings.json").read_text())
    (copied / "settings.json").write_text(
        json.dumps({**settings, "slug": f"cli-{tmp_path.name[-40:].replace('_', '-')}"})
    )
    return copied


def test_every_example_of_the_guide_runs_with_another_import_and_address(dev: Dev) -> None:
    site.install(site.CLIENT)

    printed = run(site.CLIENT, "test", "--", "tests/integration/workers", **where(dev))

    assert "skipped" not in printed


def test_the_protocols_own_client_shows_runs_and_answers_their_questions(dev: Dev, octavus: Path) -> None:
    """Text, tools, steps, objects, a person's approval, stop and failure; and its schema takes each event."""
    printed = run(
        site.CLIENT, "test", "--", "tests/integration/octavus", **where(dev), OCTAVUS_PACKAGES=str(octavus)
    )

    assert "skipped" not in printed


def where(dev: Dev) -> dict[str, str]:
    return {
        "AGENT_WORKER_URL": dev.url,
        "AGENT_WORKER_KEY": dev.publishable_key,
        "AGENT_WORKER_SECRET_KEY": dev.secret_key,
    }


@pytest.mark.parametrize("name", ["approve-reply", "summarise", "translate-each"])
def test_the_protocols_own_command_finds_our_examples_valid(cli: Cli, name: str) -> None:
    done = cli("validate", str(EXAMPLES / name))

    assert (done.code, done.json["valid"], done.json["errors"]) == (0, True, [])


def test_the_protocols_own_command_shows_what_is_wrong(cli: Cli, folder: Path) -> None:
    protocol = folder / "protocol.yaml"
    protocol.write_text(protocol.read_text().replace("block: next-message", "block: no-such-block"))

    validated, synced = cli("validate", str(folder)), cli("sync", str(folder))

    assert validated.code == synced.code == 1
    assert not validated.json["valid"]
    assert "no-such-block" in json.dumps(validated.json["errors"])
    assert synced.json["code"] == "API_ERROR"
    assert "no-such-block" in synced.json["error"]


def test_the_protocols_own_command_syncs_twice_and_only_changes_make_a_version(
    cli: Cli, folder: Path, dev: Dev
) -> None:
    slug = json.loads((folder / "settings.json").read_text())["slug"]

    def version() -> int:
        agent = httpx.get(f"{dev.url}/api/agents/{slug}", headers={"apikey": dev.secret_key})
        return int(agent.raise_for_status().json()["version"])

    first, again = cli("sync", str(folder)), cli("sync", str(folder))
    assert (first.code, again.code) == (0, 0)
    assert first.json == {"slug": slug, "agentId": first.json["agentId"], "created": True}
    assert again.json == {**first.json, "created": False}
    assert version() == 1

    (folder / "prompts" / "text.md").write_text("Otherwise: {{TEXT}}")
    assert cli("sync", str(folder)).code == 0
    assert version() == 2

    listed, got = cli("list"), cli("get", slug)
    (mine,) = [agent for agent in listed.json["agents"] if agent["slug"] == slug]
    assert (mine["id"], mine["format"]) == (first.json["agentId"], "worker")
    assert got.json["id"] == mine["id"]
    assert {"name": "text", "content": "Otherwise: {{TEXT}}"} in got.json["prompts"]


@pytest.mark.parametrize(
    ("arguments", "key", "left"),
    [
        (["get", "nobody"], "right", (1, "NOT_FOUND")),
        (["list"], "sb_secret_wrong", (1, "API_ERROR")),
        (["list"], None, (2, "CONFIG_ERROR")),
        (["sync", "no-such-folder"], "right", (1, "FILE_ERROR")),
    ],
)
def test_the_protocols_own_command_fails_as_it_does_elsewhere(
    cli: Cli, dev: Dev, arguments: list[str], key: str | None, left: tuple[int, str]
) -> None:
    done = cli(*arguments, key=dev.secret_key if key == "right" else key)

    assert (done.code, done.json["code"]) == left
