"""The tests' own rules of which events clients take, judged by a client: the worker protocol's package from npm."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.node import installed
from tests.pipelines import accepting
from tests.pipelines.accepting import EVENTS, problem

PACKAGES = Path(__file__).parents[1] / "frontend" / "octavus" / "package.json"
LATER = {"worker-start", "worker-result", "worker-input-start", "worker-input-delta", "worker-input-ready"}
LATER |= {"usage", "todo-update"}
"""Types that came after 2.0.0, the last release that npm has; it drops them."""

JUDGE = """
import { readFileSync } from 'node:fs';
import { safeParseStreamEvent } from '@octavus/core';
const events = JSON.parse(readFileSync(0, 'utf8'));
console.log(JSON.stringify(events.map((event) => safeParseStreamEvent(event).success)));
"""

CALL = {"toolCallId": "c", "toolName": "t", "args": {}}
VALUES: dict[str, Any] = {
    "finishReason": "stop",
    "errorType": "tool_error",
    "source": "tool",
    "sourceType": "url",
    "display": "stream",
    "retryable": True,
    "outputToChat": False,
    "toolCalls": [CALL],
    "serverToolResults": [{"toolCallId": "c", "result": 1}],
    "input": {},
    "output": 1,
    "value": 1,
    "size": 1,
    "retryAfter": 1,
    "provider": {"name": "p"},
    "tool": {"name": "t"},
    "url": "https://localhost/x",
    "mediaType": "text/plain",
}


def complete(kind: str, *, is_full: bool) -> dict[str, Any]:
    """Return an event with all of its fields, or with those that it needs."""
    names = [name for name in EVENTS[kind] if is_full or not name.endswith("_")]
    fields = {name.removesuffix("_"): VALUES.get(name.removesuffix("_"), "x") for name in names}
    if kind == "source" and not is_full:
        fields["url"] = VALUES["url"]
    return {"type": kind, **fields}


def variants(kind: str) -> list[dict[str, Any]]:
    """Return events of a type, good ones and bad ones."""
    full = complete(kind, is_full=True)
    made = [full, complete(kind, is_full=False)]
    for written in EVENTS[kind]:
        name = written.removesuffix("_")
        made += [{**full, name: None}, {**full, name: {"odd": 1}}, {**full, name: 3}]
        made.append({key: value for key, value in full.items() if key != name})
    return made


def judged(folder: Path, events: list[dict[str, Any]]) -> list[bool]:
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", JUDGE],
        cwd=folder,
        input=json.dumps(events),
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    verdicts: list[bool] = json.loads(done.stdout)
    return verdicts


@pytest.mark.node
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js and npm")
def test_whatever_the_rules_let_pass_a_client_takes(pytestconfig: pytest.Config) -> None:
    folder = installed(pytestconfig, "octavus", PACKAGES)
    events = [event for kind in EVENTS if kind not in LATER for event in variants(kind)]
    verdicts = judged(folder, events)
    wrong = [
        event
        for event, is_taken in zip(events, verdicts, strict=True)
        if problem(event) is None and not is_taken
    ]
    assert not wrong
    assert any(not is_taken for is_taken in verdicts), "the judge is awake"


@pytest.mark.parametrize("kind", EVENTS)
def test_a_null_or_a_missing_field_is_noticed(kind: str) -> None:
    full = complete(kind, is_full=True)
    if kind not in {"todo-update", "usage"}:
        assert problem(full) is None
        assert problem(complete(kind, is_full=False)) is None
    for written, check in EVENTS[kind].items():
        name = written.removesuffix("_")
        if check is not accepting.anything:
            assert problem({**full, name: None}) is not None
        if not written.endswith("_"):
            assert problem({key: value for key, value in full.items() if key != name}) is not None
