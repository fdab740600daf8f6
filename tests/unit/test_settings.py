"""Configuration: zero settings work, wrong ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_worker.domain.errors import ConfigurationError
from agent_worker.settings import load_settings


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("AGENT_WORKER_", "OPENAI_", "DATABASE_", "SUPABASE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_zero_settings_work() -> None:
    settings = load_settings()
    assert (settings.database_url, settings.processes, settings.kinds) == (None, 1, ())


def test_the_environment_beats_the_file_and_the_command_line_beats_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("AGENT_WORKER_CONCURRENCY=1\nAGENT_WORKER_KINDS=chat, echo\n")
    monkeypatch.setenv("AGENT_WORKER_CONCURRENCY", "2")
    assert load_settings().concurrency == 2
    assert load_settings({"concurrency": 3, "name": None}).concurrency == 3
    assert load_settings().kinds == ("chat", "echo")


def test_shared_names_are_read_as_other_tools_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@h/d")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hunter2")
    settings = load_settings()
    assert settings.openai_api_key is not None
    assert "hunter2" not in repr(settings)


def test_an_unknown_name_with_our_prefix_is_refused_with_the_likely_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGENT_WORKER_CONCURENCY", "5")
    with pytest.raises(
        ConfigurationError, match=r"AGENT_WORKER_CONCURENCY is no setting .* AGENT_WORKER_CONCURRENCY"
    ):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("AGENT_WORKER_CONCURRENCY", "0", "AGENT_WORKER_CONCURRENCY: .*greater than or equal to 1"),
        ("AGENT_WORKER_METRICS_PORT", "99999", "AGENT_WORKER_METRICS_PORT"),
        ("AGENT_WORKER_LOG_LEVEL", "loud", "AGENT_WORKER_LOG_LEVEL"),
        ("AGENT_WORKER_LEASE_S", "12", "three heartbeats"),
    ],
)
def test_a_value_out_of_range_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=problem):
        load_settings()


KEYS = ("SUPABASE_SERVICE_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SECRET_KEY")


@pytest.mark.parametrize("name", KEYS)
def test_a_project_is_reached_by_its_url_and_key_under_any_of_its_names(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://abc.supabase.co")
    monkeypatch.setenv(name, "sb_secret_x")
    settings = load_settings()
    assert settings.supabase_service_key is not None
    assert settings.supabase_service_key.get_secret_value() == "sb_secret_x"
    assert settings.is_over_http
    assert "sb_secret_x" not in repr(settings)


def test_a_named_database_wins_over_a_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://abc.supabase.co")
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/d")
    assert not load_settings().is_over_http


@pytest.mark.parametrize(
    ("name", "missing"),
    [("SUPABASE_URL", "SUPABASE_SERVICE_KEY is not"), *((key, "SUPABASE_URL is not") for key in KEYS)],
)
def test_half_of_a_project_is_refused_with_the_other_half(
    monkeypatch: pytest.MonkeyPatch, name: str, missing: str
) -> None:
    monkeypatch.setenv(name, "https://abc.supabase.co")
    with pytest.raises(ConfigurationError, match=missing):
        load_settings()
