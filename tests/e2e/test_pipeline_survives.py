"""A pipeline survives `kill -9` of its worker in each of its steps, and nobody can tell from what it says or did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from agent_worker.db.connection import Database
from agent_worker.domain.events import Event
from agent_worker.llm import local
from tests.e2e.fleet import Fleet, fleet
from tests.e2e.research import STEPS, TOPIC, Gate, Library, Research
from tests.pipelines.running import check_leg, without_ids
from tests.worker.conftest import Rows

pytestmark = pytest.mark.slow

IN_A_TOOL = {"Search", "Take notes", "File the report"}
IN_A_MODEL = {"Read what was found": "The sun", "Write the report": "Write a report"}
"""Steps, and what stands in the question whose answer is cut short."""


@pytest.fixture
def workers(database_url: str, tmp_path: Path, ledger: Path) -> Iterator[Fleet]:
    with fleet(database_url, tmp_path) as started:
        yield started


@pytest.fixture
def library() -> Iterator[Library]:
    with Library() as opened:
        yield opened


@pytest.mark.parametrize("step", STEPS)
async def test_a_run_that_was_killed_in_a_step_is_told_like_one_that_was_not(
    step: str, workers: Fleet, rows: Rows, ledger: Path, library: Library
) -> None:
    research = Research(workers, rows, ledger, model="openai/scripted", env=library.env)
    if step in IN_A_TOOL:
        research.hold_tool(step)
    library.silent_in = IN_A_MODEL.get(step)
    is_agreed = STEPS.index(step) > STEPS.index("Agree on the notes")

    first = research.worker()
    killed = await research.begin()
    if is_agreed:
        await research.agree(killed)
    if step in IN_A_TOOL:
        await research.tool_is_held(step)
    elif step in IN_A_MODEL:
        await research.has_said_a_word(killed, step)
    else:
        await research.is_waiting(killed)
    first.kill()
    research.let_tools_go()
    library.silent_in = None

    second = research.worker()
    whole = await research.begin()
    if not is_agreed:
        await research.agree(killed)
    await research.agree(whole)
    response = await research.ends(killed)

    assert response == await research.ends(whole)
    assert response["output"] == "The report: tides are the work of the moon."
    assert response["usage"]["llm_calls"] == 6
    assert library.questions == 2 * 6 + (step in IN_A_MODEL), (
        "only an answer that was cut short is asked again"
    )
    told = await research.told(killed)
    check_leg(told)
    assert without_ids(told, killed) == without_ids(await research.told(whole), whole)
    check_calls(research, killed, cut=int(step in IN_A_TOOL))
    check_calls(research, whole, cut=0)
    assert (await rows.task(killed))["attempt"] == (1 if step == "Agree on the notes" else 2)
    assert {call["pid"] for call in research.calls(whole)} == {second.pid}


@pytest.mark.local_model
@pytest.mark.skipif(not local.is_installed(), reason=f"not installed: {local.INSTALL_COMMAND}")
async def test_one_run_is_killed_in_each_of_its_steps_with_a_real_model(
    workers: Fleet, rows: Rows, db: Database, ledger: Path, tmp_path: Path
) -> None:
    # The model takes all the processors it gets, which must not cost a worker that lives its lease.
    env = {"AGENT_WORKER_DATA_DIR": str(tmp_path / "data"), "AGENT_WORKER_LEASE_S": "5"}
    research = Research(workers, rows, ledger, model="local/smollm2-135m", env=env)
    gate = Gate(db)
    task_id = await research.begin()
    for step in STEPS:
        if step in {"Search", "File the report"}:
            research.hold_tool(step)
            worker = research.worker()
            await research.tool_is_held(step)
            worker.kill()
            research.let_tools_go()
        elif step == "Agree on the notes":
            worker = research.worker()
            await research.is_waiting(task_id)
            worker.kill()
            await research.agree(task_id)
        else:
            async with gate.shut(step, task_id) as gate_is_reached:
                worker = research.worker()
                await gate_is_reached()
                worker.kill()
    research.worker()
    response = await research.ends(task_id)

    told = await research.told(task_id)
    check_leg(told)
    shown = [event.data["blockName"] for event in told if event.type == "block-start"]
    assert [name for name in shown if name != "Say what matters"] == list(STEPS)
    assert shown.count("Say what matters") == 3
    texts = spoken(told)
    assert len(texts) >= 5, "of three pages, the notes and the report"
    assert response["output"] == texts[-1], "what was streamed is what came out"
    assert response["usage"]["llm_calls"] >= 5
    assert response["usage"]["output_tokens"] > 0
    calls = Counter(call["key"] for call in research.calls(task_id) if not call["held"])
    assert set(calls.values()) == {1}
    assert {call["key"] for call in research.calls(task_id)} == set(calls)
    assert (await rows.task(task_id))["attempt"] == len(STEPS), "a kill while it waits uses up none"


def spoken(told: Sequence[Event]) -> list[str]:
    """Return each text of the stream in full, in order."""
    texts: dict[str, str] = {}
    for event in told:
        if event.type == "text-delta":
            text_id = str(event.data["id"])
            texts[text_id] = texts.get(text_id, "") + str(event.data["delta"])
    return list(texts.values())


def check_calls(research: Research, task_id: UUID, *, cut: int) -> None:
    """Three calls were finished, each once; one that was cut short was made again under its key."""
    calls = research.calls(task_id)
    finished = Counter(call["key"] for call in calls if not call["held"])
    assert set(finished.values()) == {1}
    assert [call["subject"] for call in calls if not call["held"]] == [TOPIC, "neap", TOPIC]
    held = [call["key"] for call in calls if call["held"]]
    assert len(held) == cut
    assert set(held) <= set(finished)
