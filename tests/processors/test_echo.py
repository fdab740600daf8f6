"""Kind `echo`."""

from __future__ import annotations

import pytest

from agent_worker.domain.errors import InvalidPayload
from agent_worker.domain.json import JsonObject
from agent_worker.processors.echo import Echo
from agent_worker.testing.context import FakeContext, make_task


async def test_the_answer_is_the_prompt() -> None:
    ctx = FakeContext(make_task({"prompt": "007", "more": 1}))

    assert await Echo().process(ctx.task, ctx) == {"answer": "007"}
    assert ctx.deltas == []


@pytest.mark.parametrize("payload", [{}, {"prompt": 7}, {"prompt": None}, {"prompt": ["hi"]}])
async def test_a_prompt_that_is_no_string_is_named(payload: JsonObject) -> None:
    ctx = FakeContext(make_task(payload))

    with pytest.raises(InvalidPayload) as caught:
        await Echo().process(ctx.task, ctx)
    assert caught.value.path == "$.prompt"
