"""Kind `csv_report`: figures of a CSV table, and a sentence about them.

Request `{"csv": "…"}`, the text of a table whose first line names the columns. Response `{"answer", "rows", "columns"}`,
where each column of numbers has `{"name", "count", "min", "max", "mean"}`.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
from contextlib import aclosing

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent_worker import InvalidPayload, JsonObject, JsonValue, Task, TaskContext
from agent_worker.domain.chat import ChatMessage, ChatRequest, TextDelta


class CsvReportSettings(BaseSettings):
    """Settings of `csv_report` tasks; `agent-worker config` lists them with all others."""

    model_config = SettingsConfigDict(env_prefix="AGENT_WORKER_CSV_REPORT_", frozen=True)

    max_rows: int = Field(default=10_000, ge=1, description="Most rows of one table.")


class CsvReport:
    """Reckon first, then have a model put it into words."""

    kind = "csv_report"
    timeout_s = 120

    def __init__(self, settings: CsvReportSettings) -> None:
        self._max_rows = settings.max_rows

    async def process(self, task: Task, ctx: TaskContext) -> JsonObject:
        """Answer one table.

        Raises:
            InvalidPayload: There is no CSV text, or it has no or too many rows.
        """
        table = self._table(task)
        await ctx.progress(20, f"{len(table)} rows read")
        columns = [figures for name in table[0] if (figures := _figures(name, table))]
        await ctx.progress(50, "asking the model")

        async def comment() -> str:
            return await _comment(ctx, columns)

        # In a step, because a model's answer costs money: an attempt after this one finds it done.
        answer = await ctx.step("comment", comment)
        return {"answer": answer, "rows": len(table), "columns": columns}

    def _table(self, task: Task) -> list[dict[str, str]]:
        text = task.request_payload.get("csv")
        if not isinstance(text, str):
            raise InvalidPayload("must be a string", path="$.csv")
        table = list(csv.DictReader(io.StringIO(text)))
        if not 1 <= len(table) <= self._max_rows:
            raise InvalidPayload(f"must have 1 to {self._max_rows} rows, not {len(table)}", path="$.csv")
        return table


def _figures(name: str, table: list[dict[str, str]]) -> dict[str, JsonValue] | None:
    """Return a column's figures, or None when its values are not numbers."""
    try:
        numbers = [float(row[name]) for row in table if row[name]]
    except ValueError:
        return None
    if not numbers:
        return None
    return {
        "name": name,
        "count": len(numbers),
        "min": min(numbers),
        "max": max(numbers),
        "mean": statistics.fmean(numbers),
    }


async def _comment(ctx: TaskContext, columns: list[dict[str, JsonValue]]) -> str:
    messages = (
        ChatMessage("system", "Say in one sentence what stands out in these figures."),
        ChatMessage("user", json.dumps(columns)),
    )
    pieces: list[str] = []
    async with aclosing(ctx.model().stream(ChatRequest(messages=messages, max_tokens=200))) as chunks:
        async for chunk in chunks:
            if isinstance(chunk, TextDelta):
                pieces.append(chunk.text)
                await ctx.emit_text(chunk.text)
    return "".join(pieces)
