"""`agent-worker gateway`: what it says, what it serves, and whom it keeps out."""

from __future__ import annotations

import json
import socket
import stat
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.cli.program import Background, Program, until

KEYS = {
    "AGENT_WORKER_PUBLISHABLE_KEY": "sb_publishable_Zt4mBn7RsEu1oPi9VxCyLa2K",
    "AGENT_WORKER_SECRET_KEY": "sb_secret_Wq8vLr2NfYx0aJk5TzHcGd3M",
    "AGENT_WORKER_JWT_SECRET": "a-secret-that-only-the-project-knows-of",
}


def ready(started: Background) -> dict[str, Any]:
    until(lambda: started.out.read_text().endswith("\n") or started.process.poll() is not None)
    (line,) = started.out.read_text().splitlines()
    document: dict[str, Any] = json.loads(line)
    return document


def get(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def test_it_says_one_line_serves_and_ends_with_sigterm(program: Program) -> None:
    started = program.start("gateway", "--port", "0", "--auth", "--json")
    document = ready(started)

    assert document["pid"] == started.process.pid
    assert "auth/v1" in document["parts"]
    until(lambda: get(f"{document['url']}/readyz") == (200, "ready\n"))
    assert get(f"{document['url']}/auth/v1/settings")[0] == 401
    assert get(f"{document['url']}/auth/v1/settings", apikey=document["publishable_key"])[0] == 200

    started.terminate()

    assert started.wait() == 0
    assert started.out.read_text().count("\n") == 1
    (stopped,) = started.events("gateway.stopped")
    assert stopped["url"] == document["url"]


def test_keys_are_made_once_and_kept_from_others(program: Program) -> None:
    seen = set()
    for _ in range(2):
        started = program.start("gateway", "--port", "0", "--json")
        document = ready(started)
        seen.add(document["publishable_key"])
        started.terminate()
        started.wait()

    assert len(seen) == 1
    path = program.folder / document["keys_file"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for secret in (json.loads(path.read_text())[name] for name in ("secret_key", "jwt_secret")):
        for started in program.background:
            assert secret not in started.out.read_text() + started.err.read_text()


def test_keys_that_are_set_are_used_and_none_are_made(program: Program) -> None:
    started = program.start("gateway", "--port", "0", "--json", env=KEYS)
    document = ready(started)

    assert (document["publishable_key"], document["keys_file"]) == (
        KEYS["AGENT_WORKER_PUBLISHABLE_KEY"],
        None,
    )
    assert not (program.folder / ".agent-worker").exists()
    assert "auth/v1" not in document["parts"], "sign-in without mail is on only where it is asked for"
    assert get(f"{document['url']}/auth/v1/settings", apikey=document["publishable_key"])[0] == 404


@pytest.mark.parametrize("missing", sorted(KEYS))
def test_beyond_this_machine_it_starts_only_with_keys_of_ones_own(program: Program, missing: str) -> None:
    env = {name: value for name, value in KEYS.items() if name != missing}

    done = program("gateway", "--host", "0.0.0.0", "--port", "0", env=env)  # noqa: S104 - it does not get that far

    assert done.code == 2
    assert missing in done.err
    assert done.err.count("\n") == 1
    for value in KEYS.values():
        assert value not in done.err


def test_a_taken_port_is_told_with_the_fix(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = program("gateway", "--port", port, env=KEYS)

    assert done.code == 2
    assert f"127.0.0.1:{port}" in done.err
    assert "--port" in done.err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AGENT_WORKER_SECRET_KEY", "sk-live-wrong-kind-of-key-here"),
        ("AGENT_WORKER_PUBLISHABLE_KEY", "sb_secret_Wq8vLr2NfYx0aJk5TzHcGd3M"),
        ("AGENT_WORKER_JWT_SECRET", "too short"),
        ("AGENT_WORKER_JWKS_URL", "http://example.com/jwks.json"),
        ("AGENT_WORKER_RATE_PER_ADDRESS", "-1"),
    ],
)
def test_a_setting_that_cannot_be_right_is_named_and_not_repeated(
    program: Program, name: str, value: str
) -> None:
    done = program("gateway", "--port", "0", env={**KEYS, name: value})

    assert done.code == 2
    assert name in done.err
    assert value not in done.err or value == "-1"


def test_a_person_sees_where_it_is_and_where_the_keys_are(program: Program) -> None:
    started = program.start("gateway", "--port", "0")
    until(lambda: "serves" in started.out.read_text())
    started.terminate()
    started.wait()

    shown = started.out.read_text()
    assert "http://127.0.0.1:" in shown
    assert "sb_publishable_" in shown
    assert "sb_secret_" not in shown
    assert "keys.json" in shown
    assert max(map(len, shown.splitlines())) <= 80
