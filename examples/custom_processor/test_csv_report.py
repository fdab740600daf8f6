"""A processor's tests need no database: `FakeContext` records what it did."""

import json

import pytest
from csv_report import CsvReport, CsvReportSettings

from agent_worker import InvalidPayload, ProcessorError, Resume
from agent_worker.domain.chat import ChatModel
from agent_worker.testing.context import FakeContext, make_task

TABLE = "name,price\npen,2\nink,4\n"
PRICE = {"name": "price", "count": 2, "min": 2.0, "max": 4.0, "mean": 3.0}


async def test_figures_are_reckoned_and_commented_on() -> None:
    ctx = FakeContext(make_task({"csv": TABLE}, kind="csv_report"))
    response = await CsvReport(CsvReportSettings()).process(ctx.task, ctx)
    assert response["rows"] == 2
    assert response["columns"] == [PRICE]
    assert json.loads(str(response["answer"])) == [PRICE]  # the echo model repeats what it was given
    assert ctx.text == response["answer"]
    assert ctx.notes == [(20, "2 rows read"), (50, "asking the model")]


async def test_another_attempt_does_not_ask_the_model_again() -> None:
    first = FakeContext(make_task({"csv": TABLE}, kind="csv_report"))
    processor = CsvReport(CsvReportSettings())
    response = await processor.process(first.task, first)
    second = first.again(resume=Resume.RETRY)
    assert await processor.process(second.task, second) == response
    assert second.text == ""


async def test_a_model_that_fails_fails_the_attempt() -> None:
    def no_model(name: str | None) -> ChatModel:
        raise ProcessorError("No key.", code="missing_key", retryable=False)

    ctx = FakeContext(make_task({"csv": TABLE}), models=no_model)
    with pytest.raises(ProcessorError, match="No key"):
        await CsvReport(CsvReportSettings()).process(ctx.task, ctx)


@pytest.mark.parametrize("payload", [{}, {"csv": 7}, {"csv": ""}, {"csv": "a\n" + "1\n" * 4}])
async def test_what_is_no_table_of_the_right_size_is_refused(payload: dict[str, str]) -> None:
    ctx = FakeContext(make_task(payload))
    with pytest.raises(InvalidPayload, match=r"\$\.csv"):
        await CsvReport(CsvReportSettings(max_rows=3)).process(ctx.task, ctx)
