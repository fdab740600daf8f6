"""Workers over HTTP from JavaScript: our package, and the worker protocol's own, against a real gateway and worker."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from agent_worker.domain.json import JsonObject
from agent_worker.testing.openai_server import JsonText, Reply, ScriptedOpenAI, Slow, Status, Text, ToolCall
from tests.browser import site
from tests.browser.dev import Dev, free_port
from tests.frontend.test_package import run

pytestmark = [
    pytest.mark.node,
    pytest.mark.slow,
    pytest.mark.timeout(420),
    pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js and npm"),
]


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
    with ScriptedOpenAI(default=reply_to) as model, tempfile.TemporaryDirectory(prefix="agent-worker-test-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # root's server runs as another account, which has to walk through
        started = Dev(folder, free_port(), {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": "sk-scripted"})
        started.up()
        yield started
        started.down()
        started.remove_data()


def test_every_example_of_the_guide_runs_with_another_import_and_address(dev: Dev) -> None:
    site.install(site.CLIENT)
    keys = {"AGENT_WORKER_KEY": dev.publishable_key, "AGENT_WORKER_SECRET_KEY": dev.secret_key}

    printed = run(site.CLIENT, "test", "--", "tests/integration/workers", AGENT_WORKER_URL=dev.url, **keys)

    assert "skipped" not in printed
