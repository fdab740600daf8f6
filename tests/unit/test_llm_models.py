"""From ids to models: the default's rule, and errors that say what to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from llm_steps import KEY, hear, request
from pydantic import SecretStr

from agent_worker.domain.errors import ProcessorError
from agent_worker.llm import local
from agent_worker.llm.models import OPENAI_DEFAULT_ID, Models
from agent_worker.llm.retry import RetryPolicy
from agent_worker.testing.openai_server import ScriptedOpenAI, Status, Text

NOWHERE = Path("/nonexistent/data")


@asynccontextmanager
async def opened(models: Models) -> AsyncIterator[Models]:
    try:
        yield models
    finally:
        await models.close()


def refusal(models: Models, name: str | None) -> ProcessorError:
    with pytest.raises(ProcessorError) as caught:
        models.get(name)
    assert not caught.value.retryable
    return caught.value


def test_the_configured_default_wins() -> None:
    models = Models(default="echo/echo", openai_api_key=KEY, data_dir=NOWHERE)

    assert models.default_id == models.get().id == "echo/echo"
    assert models.default_reason == "It is the configured default."


def test_a_key_makes_openai_the_default() -> None:
    models = Models(openai_api_key=KEY, data_dir=NOWHERE)

    assert models.default_id == OPENAI_DEFAULT_ID
    assert models.default_reason == "OPENAI_API_KEY is set."


def test_an_address_alone_makes_openai_the_default_too() -> None:
    models = Models(openai_base_url="http://127.0.0.1:1/v1", data_dir=NOWHERE)

    assert models.default_id == OPENAI_DEFAULT_ID
    assert "OPENAI_BASE_URL is set" in models.default_reason


@pytest.mark.parametrize("key", [None, SecretStr("")])
def test_without_a_key_the_default_is_local_or_else_echo_and_says_so(key: SecretStr | None) -> None:
    models = Models(openai_api_key=key, openai_base_url="", data_dir=NOWHERE)

    if local.is_installed():
        assert models.default_id == "local/smollm2-135m"
    else:
        assert models.default_id == "echo/echo"
        assert "answers only repeat the prompt" in models.default_reason
    assert "OPENAI_API_KEY is not set" in models.default_reason


def test_openai_without_a_key_names_the_variable() -> None:
    models = Models(data_dir=NOWHERE)

    for name in ("openai/gpt-test", "langchain-openai/gpt-test"):
        error = refusal(models, name)
        assert error.code == "missing_key"
        assert "OPENAI_API_KEY" in str(error)


@pytest.mark.parametrize(
    "name",
    ["", "gpt-4o", "openai/", "/gpt-4o", "acme/one", "echo/other", "local/other", "anthropic/", "x" * 5000],
)
def test_unknown_ids_name_the_known_providers(name: str) -> None:
    error = refusal(Models(openai_api_key=KEY, data_dir=NOWHERE), name)

    assert error.code == "unknown_model"
    assert "openai/…" in str(error)
    assert "anthropic/…" in str(error)
    assert len(str(error)) < 1000


def test_a_missing_package_is_named() -> None:
    error = refusal(Models(data_dir=NOWHERE), "google_genai/gemini-test")

    assert error.code == "missing_package"
    assert "pip install langchain-google-genai" in str(error)


def test_models_are_kept() -> None:
    models = Models(openai_api_key=KEY, data_dir=NOWHERE)

    assert models.get("openai/a") is models.get("openai/a")
    assert models.get("openai/a") is not models.get("openai/b")


async def test_a_server_without_keys_is_reached_through_its_address() -> None:
    with ScriptedOpenAI() as server:
        async with opened(Models(openai_base_url=server.base_url, data_dir=NOWHERE)) as models:
            heard = await hear(models.get("openai/any"), request("hello"))

    assert heard.text == "scripted: hello"


async def test_both_ways_to_openai_retry_and_share_the_key() -> None:
    with ScriptedOpenAI(Status(503), Text("one"), Status(503), Text("two")) as server:
        quick = RetryPolicy(base_s=0.001)
        at_server = Models(openai_api_key=KEY, openai_base_url=server.base_url, data_dir=NOWHERE, retry=quick)
        async with opened(at_server) as models:
            texts = [
                (await hear(models.get(name), request())).text for name in ("openai/m", "langchain-openai/m")
            ]

    assert texts == ["one", "two"]
    assert {recorded.headers["authorization"] for recorded in server.requests} == {
        f"Bearer {KEY.get_secret_value()}"
    }


async def test_closing_an_unused_or_closed_registry_is_fine() -> None:
    models = Models(openai_api_key=KEY, data_dir=NOWHERE)
    await models.close()
    await models.close()


def test_importing_the_registry_imports_nothing_heavy() -> None:
    code = """
import sys, pathlib
from agent_worker.llm.models import Models
models = Models(openai_base_url="http://127.0.0.1:1/v1", data_dir=pathlib.Path("x"))
models.get("openai/x"); models.get("langchain-openai/x"); models.get("echo/echo")
heavy = {"openai", "langchain", "langchain_core", "langchain_openai", "xllamacpp", "httpx", "httpx2", "jsonschema"}
sys.exit(str(sorted(heavy & sys.modules.keys())) if heavy & sys.modules.keys() else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_missing_local_model_names_both_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [p for p in sys.path if "site-packages" not in p])
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    sys.path_importer_cache.clear()
    with pytest.raises(ProcessorError, match=r"pip install 'agent-worker\[local\]'") as caught:
        Models(data_dir=NOWHERE).get("local/smollm2-135m")
    assert (caught.value.code, caught.value.retryable) == ("missing_package", False)
