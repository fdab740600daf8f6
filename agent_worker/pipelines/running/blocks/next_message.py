"""`next-message`: let a model answer, with tools in as many rounds as the thread allows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent_worker.domain.chat import ChatMessage, ChatRequest
from agent_worker.domain.chat import ToolCall as ModelCall
from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.definition.blocks import NextMessage
from agent_worker.pipelines.definition.threads import ThreadConfig
from agent_worker.pipelines.running.answers import Answer, ask
from agent_worker.pipelines.running.blocks.add_message import require_thread
from agent_worker.pipelines.running.calls import Caller
from agent_worker.pipelines.running.execution import Execution, Step
from agent_worker.pipelines.running.state import Effect, Scope, Thread
from agent_worker.pipelines.running.toolbox import has_tools, tools_of_thread
from agent_worker.pipelines.running.toolbox.offer import Call, Offer, Outcome
from agent_worker.pipelines.types.inputs import check_value
from agent_worker.pipelines.types.schema import drop_absent, response_schema
from agent_worker.pipelines.types.shapes import ObjectType, Shape

_CHARACTERS_PER_TOKEN = 4
_MOST_EQUAL_ROUNDS = 3


async def run(step: Step, block: NextMessage) -> Effect:
    """Ask the model, run the tools that it wants and ask again; at most the thread's `maxSteps` rounds.

    Raises:
        UpstreamError: The model's provider refused or broke, and so did the backup.
        ProcessorError: The answer does not fit the `responseType` (`invalid_model_output`), or the model repeats
            itself (`model_loop`).
    """
    thread = require_thread(step, block.thread)
    config = _config(step.execution, thread)
    conversation = _Conversation(step, block, thread, config, await tools_of_thread(step, config))
    answer = await conversation.run()
    value: JsonValue = (
        answer.text if block.response_type is None else _parsed(step, block.response_type, answer)
    )
    values = {} if block.output is None else {block.output: value}
    return Effect(values=values, messages={block.thread: conversation.added})


def may_take_rounds(execution: Execution, scope: Scope, block: NextMessage) -> bool:
    """Tell whether the block may take several rounds, and so has checkpoints inside."""
    thread = scope.threads.get(block.thread)
    return thread is not None and has_tools(_config(execution, thread))


def _config(execution: Execution, thread: Thread) -> ThreadConfig:
    return execution.definition.configs[str(thread.setup["step"])]


@dataclass(slots=True)
class _Conversation:
    """The rounds of one answer."""

    step: Step
    block: NextMessage
    thread: Thread
    config: ThreadConfig
    tools: Mapping[str, Offer]
    added: list[JsonObject] = field(default_factory=list)

    async def run(self) -> Answer:
        """Return the last round's answer; the turns stand in `added`."""
        rounds = int(str(self.thread.setup["maxSteps"]))
        asked: list[list[tuple[str, str]]] = []
        texts: list[str] = []
        for number in range(rounds):
            answer = await self._ask(number)
            texts.append(answer.text)
            self.added.append(_turn(answer))
            if not answer.calls:
                return answer
            asked.append([(call.name, call.arguments) for call in answer.calls])
            self._guard(asked)
            await self._call(number, answer.calls)
        # Out of rounds: the last words count, though the model wanted to go on.
        return Answer(next((text for text in reversed(texts) if text), ""), (), "tool-calls", answer.model)

    async def _ask(self, number: int) -> Answer:
        if not has_tools(self.config):
            return await ask(
                self.step, self._request(), self.thread.setup, part=f"{number}", block=self.block
            )

        async def ask_model() -> JsonObject:
            before = self.step.execution.budget.used
            answer = await ask(
                self.step, self._request(), self.thread.setup, part=f"{number}", block=self.block
            )
            if not answer.calls and self.block.response_type is not None:
                # Here, so that an answer that does not fit is not remembered.
                _parsed(self.step, self.block.response_type, answer)
            for index, call in enumerate(answer.calls):
                await Caller(self.step, self.tools).announce(
                    self._named(number, index, call), written=call.arguments
                )
            return {**answer.as_json(), "used": (self.step.execution.budget.used - before).as_json()}

        return Answer.read(await self.step.note(f"model-{number}", ask_model))

    async def _call(self, number: int, calls: Sequence[ModelCall]) -> None:
        named = [self._named(number, index, call) for index, call in enumerate(calls)]
        outcomes = await Caller(self.step, self.tools).make(named, part=f"{number}")
        for call, outcome in zip(calls, outcomes, strict=True):
            self.added.append({"role": "tool", "content": self._cut(outcome), "toolCallId": call.id})

    def _named(self, number: int, index: int, call: ModelCall) -> Call:
        """Return the call under an id of our own: providers may use one id in every round."""
        try:
            arguments = json.loads(call.arguments or "{}")
        except (ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            arguments = {"": call.arguments}  # fits no tool, so the model is told
        return Call(f"{self.step.place}:{number}.{index}", call.name, arguments)

    def _guard(self, asked: list[list[tuple[str, str]]]) -> None:
        last = asked[-_MOST_EQUAL_ROUNDS:]
        if (
            self.config.loop_guard
            and len(last) == _MOST_EQUAL_ROUNDS
            and all(each == last[0] for each in last)
        ):
            raise ProcessorError(
                f"The model asked for the same tools {_MOST_EQUAL_ROUNDS} times in a row.",
                code="model_loop",
                retryable=False,
            )

    def _cut(self, outcome: Outcome) -> str:
        """Return what the model reads of a result: at most `maxToolOutputTokens`, its beginning and its end."""
        text, limit = outcome.text, self.config.max_tool_output_tokens
        most = None if limit is None else limit * _CHARACTERS_PER_TOKEN
        if most is None or len(text) <= most:
            return text
        half = most // 2
        return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[len(text) - half :]}"

    def _request(self) -> ChatRequest:
        setup = self.thread.setup
        system = setup.get("system")
        first = [ChatMessage("system", str(system))] if system else []
        temperature, thinking = setup.get("temperature"), setup.get("thinking")
        return ChatRequest(
            messages=(*first, *map(_message, (*self.thread.messages, *self.added))),
            temperature=float(temperature) if isinstance(temperature, int | float) else None,
            max_tokens=self.config.max_output_tokens,
            json_schema=self._schema(),
            tools=tuple(offer.spec for offer in self.tools.values()),
            thinking=thinking,  # type: ignore[arg-type]  # start-thread has checked it
        )

    def _schema(self) -> JsonObject | None:
        if self.block.response_type is None:
            return None
        definition = self.step.execution.definition
        return response_schema(_response_type(self.step, self.block.response_type), definition.types)


def _response_type(step: Step, name: str) -> ObjectType:
    declared = step.execution.definition.types[name]
    assert isinstance(declared, ObjectType)  # noqa: S101 - a rule of validation
    return declared


def _parsed(step: Step, name: str, answer: Answer) -> JsonValue:
    types = step.execution.definition.types
    try:
        value: JsonValue = json.loads(answer.text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise _unfit("is no JSON" if answer.reason != "length" else "was cut by its length") from error
    value = drop_absent(value, _response_type(step, name), types)
    if mismatches := check_value(value, Shape(name), types):
        raise _unfit(f"does not fit {name}: {mismatches[0]}")
    return value


def _refuse(constant: str) -> JsonValue:
    raise ValueError(constant)


def _unfit(problem: str) -> ProcessorError:
    return ProcessorError(f"The model's answer {problem}.", code="invalid_model_output")


def _turn(answer: Answer) -> JsonObject:
    turn: dict[str, JsonValue] = {"role": "assistant", "content": answer.text}
    if answer.calls:
        turn["toolCalls"] = [
            {"id": call.id, "name": call.name, "arguments": call.arguments} for call in answer.calls
        ]
    return turn


def _message(turn: JsonObject) -> ChatMessage:
    calls = turn.get("toolCalls")
    call_id = turn.get("toolCallId")
    return ChatMessage(
        str(turn["role"]),  # type: ignore[arg-type]  # written by this module and add-message
        str(turn["content"]),
        tuple(
            ModelCall(str(call["id"]), str(call["name"]), str(call["arguments"]))
            for call in (calls if isinstance(calls, list | tuple) else ())
            if isinstance(call, dict)
        ),
        None if call_id is None else str(call_id),
    )
