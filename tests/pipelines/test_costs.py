"""What a run costs and may cost, and the pictures that it pays for."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from agent_worker.domain.chat import Usage
from agent_worker.domain.errors import ProcessorError
from agent_worker.llm.models import Models
from agent_worker.llm.prices import price
from agent_worker.processors.pipeline import Pipeline, PipelineSettings
from agent_worker.testing.context import FakeContext, make_task
from agent_worker.testing.openai_replies import PIXEL
from agent_worker.testing.openai_server import Drawn, ScriptedOpenAI, Status, Text
from tests.pipelines.running import check_leg, data
from tests.pipelines.test_durably import payload
from tests.worker.conftest import Rows, StartWorker

MODEL = "gpt-5.4-mini"
TALK = """
input:
  TOPIC: {type: string}
variables:
  A: {type: string}
limits: {maxCost: COST}
steps:
  Open: {block: start-thread, thread: t, model: openai/MODEL, system: system}
  Ask: {block: add-message, thread: t, role: user, prompt: ask, input: [TOPIC]}
  First: {block: next-message, thread: t, output: A}
  Again: {block: next-message, thread: t, output: A}
output: A
"""
DRAW = """
input:
  TOPIC: {type: string}
  FROM: {type: string, optional: true}
variables:
  A: {type: string}
steps:
  Draw:
    block: generate-image
    prompt: TOPIC
    imageModel: openai/gpt-image-2
    output: A
    OPTIONS
output: A
"""


async def run(models: Models, protocol: str, **given: str) -> tuple[Any, FakeContext]:
    task = make_task(payload(protocol, given), kind="pipeline")._replace(max_attempts=1)
    ctx = FakeContext(task, models=models.get, images=models.images)
    return await Pipeline(PipelineSettings()).process(task, ctx), ctx


def talk(cost: str = "1", model: str = MODEL) -> str:
    return TALK.replace("COST", cost).replace("MODEL", model)


def draw(options: str = "") -> str:
    return DRAW.replace("OPTIONS", options)


async def test_a_run_tells_what_it_cost(server: ScriptedOpenAI, models: Models) -> None:
    response, ctx = await run(models, talk(), TOPIC="sea")
    usage = response["usage"]
    spent = price(f"openai/{MODEL}", Usage(usage["input_tokens"], usage["output_tokens"]))
    assert usage["cost_usd"] == pytest.approx(spent)
    assert usage["cost_usd"] > 0
    assert data(ctx, "usage")[0]["cost"]["totalFee"] == pytest.approx(spent)


async def test_a_run_that_has_cost_what_it_may_asks_no_more(server: ScriptedOpenAI, models: Models) -> None:
    server.script(Text("word " * 1000))
    with pytest.raises(ProcessorError, match=r"of \$0.001 \(maxCost\)") as caught:
        await run(models, talk("0.001"), TOPIC="sea")
    assert caught.value.code == "limit_exceeded"
    assert len(server.requests) == 1


async def test_a_model_without_a_price_is_refused_under_a_cost_limit(
    server: ScriptedOpenAI, models: Models
) -> None:
    with pytest.raises(ProcessorError, match="price of openai/no-such-model is not known") as caught:
        await run(models, talk(model="no-such-model"), TOPIC="sea")
    assert caught.value.code == "limit_exceeded"
    assert "pip install" not in str(caught.value)
    assert server.requests == ()


async def test_without_the_list_the_refusal_names_what_to_install(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(ProcessorError, match=r"pip install 'agent-worker\[pipelines\]'"):
        await run(models, talk(), TOPIC="sea")


async def test_a_picture_is_made_and_paid(server: ScriptedOpenAI, models: Models) -> None:
    response, ctx = await run(models, draw("aspectRatio: 3:2\n    resolution: 1K"), TOPIC="a harbour")
    assert response["output"] == f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"
    assert data(ctx, "file-available")[0]["mediaType"] == "image/png"
    assert (response["usage"]["llm_calls"], response["usage"]["output_tokens"]) == (1, 100)
    assert response["usage"]["cost_usd"] > 0
    request = server.requests[0]
    assert (request.body["prompt"], request.body["size"]) == ("a harbour", "1536x1024")
    assert request.headers["idempotency-key"] == f"{ctx.task.id}:steps.Draw:1"
    check_leg(ctx.events, ends=("finish", "usage"))


async def test_a_picture_is_tried_again_under_the_same_key(server: ScriptedOpenAI, models: Models) -> None:
    server.script_pictures(Status(500), Drawn())
    await run(models, draw("retry: {attempts: 2, delay: 1ms}"), TOPIC="a harbour")
    first, second = server.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


async def test_a_picture_starts_from_another(server: ScriptedOpenAI, models: Models) -> None:
    address = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"
    await run(models, draw("referenceImages: [FROM]"), TOPIC="by night", FROM=address)
    assert server.requests[0].path == "/v1/images/edits"


async def test_a_picture_that_names_the_workers_own_network_is_refused(
    server: ScriptedOpenAI, models: Models
) -> None:
    with pytest.raises(ProcessorError, match="not public"):
        await run(models, draw("referenceImages: [FROM]"), TOPIC="x", FROM="http://127.0.0.1:1/1.png")
    assert server.requests == ()


async def test_a_worker_has_pictures_made_from_a_row(
    server: ScriptedOpenAI, models: Models, start_worker: StartWorker, rows: Rows
) -> None:
    async with start_worker(Pipeline(PipelineSettings()), models=models):
        task_id = await rows.insert("pipeline", payload(draw(), {"TOPIC": "a harbour"}))
        task = await rows.reaches(task_id, "completed")
    assert task["response_payload"]["output"].startswith("data:image/png;base64,")
