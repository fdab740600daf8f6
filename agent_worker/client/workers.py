"""Run pipelines and hear them as the worker protocol's stream, with tools that run here.

A run is a task of kind `pipeline`. Tools that the worker process has run there; for the others the task parks, without
holding a worker, and is answered from here. What is heard comes from the stored events, so results of tools are told by
the run itself, in the leg that follows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NoReturn, Unpack
from uuid import UUID, uuid4

from agent_worker.client.columns import TaskColumns
from agent_worker.client.handlers import ToolHandlers
from agent_worker.client.run import Answer, Run, StreamEvent
from agent_worker.client.task_client import TaskClient
from agent_worker.domain.client_errors import DuplicateTask, WorkerError
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.names import PIPELINE


@dataclass(frozen=True, slots=True)
class Generated:
    """What a run came to.

    Attributes:
        output: The value of the definition's `output`; None also where it has none.
        execution_id: The task's id.
    """

    output: JsonValue
    execution_id: str


class Workers:
    """`client.workers`.

    An iterator that is left before its run has come to a result or asks for client tools, by `break`, `aclose()` or the
    cancellation of its task, stops the run: nobody would hear of it any more. To leave a run alone, submit it and
    `stream` its events.

    ```python
    async for event in client.workers.execute("summarise", {"TOPIC": "sea"}, tools={"web-search": search}):
        if event["type"] == "text-delta":
            print(event["delta"], end="", flush=True)
    ```

    Args:
        client: The client that this belongs to.
        answer: Answers questions of runs.
    """

    def __init__(self, client: TaskClient, answer: Answer) -> None:
        self._client = client
        self._answer = answer

    async def execute(
        self,
        agent_id: str | UUID,
        input: JsonObject,  # noqa: A002 - the protocol's word
        *,
        tools: ToolHandlers | None = None,
        signal: asyncio.Event | None = None,
        **columns: Unpack[TaskColumns],
    ) -> AsyncGenerator[StreamEvent, None]:
        """Run a stored definition and yield its stream.

        Failures of the run are events: `worker-result` with its `error`, then `error`.

        Args:
            agent_id: Slug or id of the definition.
            input: Values of its inputs.
            tools: Functions by the names of tools, called with the arguments as one dict. Async ones run in this loop,
                others in threads, all of one request side by side; what they raise is the tool's error. A tool without
                a function makes the stream end with `client-tool-request` and `finish` of `client-tool-calls`; go on
                with `continue_`.
            signal: Set it to stop the run: the stream then ends with `finish` of `stop`.
            columns: Of the task, such as `user_id` and `priority`; `kind` is always `pipeline`.

        Raises:
            TaskRefused: The input cannot be stored, or a column breaks a rule.
            DatabaseUnavailable: Nobody answered for a while; the run goes on.
        """
        task_id = columns.get("id") or uuid4()
        run = self._run(task_id, tools, signal)
        if run.is_stopped:
            yield run.stopped()
            return
        payload: JsonObject = {"agent": str(agent_id), "input": input}
        row: TaskColumns = {**columns, "kind": PIPELINE, "id": task_id}
        async with contextlib.aclosing(run.hear(start=lambda: self._submit(payload, row))) as events:
            async for event in events:
                yield event

    async def continue_(
        self,
        agent_id: str | UUID,
        execution_id: str | UUID,
        tool_results: Sequence[JsonObject],
        *,
        tools: ToolHandlers | None = None,
        signal: asyncio.Event | None = None,
    ) -> AsyncGenerator[StreamEvent, None]:
        """Answer a run that asked for client tools and yield the stream of what follows.

        The same results again change nothing and yield the same.

        Args:
            agent_id: Slug or id of the definition that runs.
            execution_id: As `client-tool-request` said.
            tool_results: Each `{"toolCallId", "result"}` or `{"toolCallId", "error"}`, with the event's
                `serverToolResults`, if any, among them. A question to a person (`agent_worker_human_approval`) is
                answered with an object as the result, such as `{"approved": true}`, or rejected with an error.
            tools: As for `execute`.
            signal: As for `execute`.

        Raises:
            ResultsRefused: The results fit no question that is open; `open_ids` names the calls that are.
            QuestionClosed: The question was withdrawn, or its time is up.
            TaskNotFound: The agent has no such run.
            TaskRefused: A result cannot be stored.
            DatabaseUnavailable: Nobody answered for a while.
        """
        task_id = execution_id if isinstance(execution_id, UUID) else UUID(execution_id)
        run = self._run(task_id, tools, signal)
        if run.is_stopped:
            await self._client.cancel(task_id)
            yield run.stopped()
            return
        after_seq = await self._answer(str(agent_id), task_id, tool_results)
        async with contextlib.aclosing(run.hear(after_seq=after_seq)) as events:
            async for event in events:
                yield event

    async def generate(
        self,
        agent_id: str | UUID,
        input: JsonObject,  # noqa: A002 - as above
        *,
        tools: ToolHandlers | None = None,
        signal: asyncio.Event | None = None,
        **columns: Unpack[TaskColumns],
    ) -> Generated:
        """Run a stored definition to its end and return its output.

        Raises:
            WorkerError: The run failed, was stopped, or asks for a client tool; it names the run.
            TaskRefused, DatabaseUnavailable: As for `execute`.
        """
        events = self.execute(agent_id, input, tools=tools, signal=signal, **columns)
        async with contextlib.aclosing(events):
            return await generated(events)

    def _run(self, task_id: UUID, tools: ToolHandlers | None, signal: asyncio.Event | None) -> Run:
        return Run(
            client=self._client, answer=self._answer, task_id=task_id, tools=tools or {}, signal=signal
        )

    async def _submit(self, payload: JsonObject, row: TaskColumns) -> None:
        try:
            await self._client.submit(payload, **row)
        except DuplicateTask as duplicate:
            if duplicate.task_id != row["id"]:
                raise
            # The id is ours alone: a first try whose reply was lost has inserted it.


async def generated(events: AsyncIterator[StreamEvent]) -> Generated:
    """Return what a stream comes to.

    Raises:
        WorkerError: It ends in an error, or without a result.
    """
    result: StreamEvent | None = None
    error: StreamEvent | None = None
    execution_id, asked = "", False
    async for event in events:
        match event["type"]:
            case "start" | "finish":
                execution_id = str(event.get("executionId", execution_id))
            case "worker-result" if event.get("workerId") == execution_id:
                result = event
            case "error":
                error = event
            case "client-tool-request":
                asked = True
    if error is not None or (result is not None and "error" in result):
        _fail(error, result, execution_id)
    if result is None:
        why = "it asks for client tools, go on with continue_" if asked else "it was stopped"
        raise WorkerError(f"The worker has not come to a result: {why}.", execution_id=execution_id)
    return Generated(result.get("output"), execution_id)


def _fail(error: StreamEvent | None, result: StreamEvent | None, execution_id: str) -> NoReturn:
    told = error or {}
    raise WorkerError(
        str(told.get("message") or (result or {}).get("error")),
        error_type=_text(told.get("errorType")),
        source=_text(told.get("source")),
        code=_text(told.get("code")),
        retryable=told.get("retryable") is True,
        execution_id=execution_id,
    )


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None
