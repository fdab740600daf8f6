"""Have a person at the terminal answer what a task asks: approvals, forms, and tools of the client."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import Callable, Mapping
from typing import TypeAlias

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from agent_worker.cli.keyboard import Keyboard
from agent_worker.cli.screen import one_line, plain_text
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.records import Question

_YES, _NO = {"y", "yes", "true"}, {"n", "no", "false"}
_INDENT = "  "
_LEFT = (0, 0, 0, 2)
_BLANK_LINES = re.compile(r"\n\s*\n")
APPROVED = "approved"

Read: TypeAlias = Callable[[str], JsonValue]
"""Turns what was typed into a value; raises ValueError with what to type instead."""


class Desk:
    """Asks at the terminal.

    Args:
        screen: Where the questions stand.
        keyboard: Where the answers come from.
    """

    def __init__(self, screen: Console, keyboard: Keyboard) -> None:
        self._screen = screen
        self._keyboard = keyboard

    async def ask(self, question: Question) -> JsonObject:
        """Return the response to a question.

        Raises:
            EOFError: The terminal was closed.
        """
        try:
            return await self._response(question)
        except (asyncio.CancelledError, EOFError):
            self._screen.print()  # leaves the line of the prompt
            raise

    async def _response(self, question: Question) -> JsonObject:
        if question.type == "client_tool":
            return {"toolResults": [await self._result(call) for call in tool_calls(question)]}
        self._screen.print()
        asked = _BLANK_LINES.sub("\n\n", plain_text(question.description or question.title).strip())
        self._screen.print(Padding(Text(asked), _LEFT))
        self._screen.print()
        return await self._form(question.form)

    async def _form(self, form: JsonObject) -> JsonObject:
        properties, required = form.get("properties"), form.get("required")
        needed = set(required) if isinstance(required, list) else set()
        answer: dict[str, JsonValue] = {}
        fields = properties if isinstance(properties, Mapping) else {}
        # The database keeps no order; what decides comes first.
        for name in sorted(fields, key=lambda each: (each != APPROVED, each not in needed, each)):
            schema = fields[name]
            facts = schema if isinstance(schema, Mapping) else {}
            await self._field(name, facts, answer, is_needed=name in needed)
        return answer

    async def _field(
        self, name: str, schema: JsonObject, answer: dict[str, JsonValue], *, is_needed: bool
    ) -> None:
        read, hint = _reader(schema)
        facts = [str(schema["description"])] if schema.get("description") else []
        facts += [hint] if hint else []
        facts += [] if is_needed else ["enter leaves it out"]
        while True:
            typed = await self._prompt("approve" if name == APPROVED else name, " · ".join(facts))
            if not typed and not is_needed:
                return
            try:
                answer[name] = read(typed)
            except ValueError as error:
                self._say(str(error), "yellow")
            else:
                return

    async def _result(self, call: JsonObject) -> JsonObject:
        name, args = str(call.get("toolName")), json.dumps(call.get("args"), ensure_ascii=False)
        self._screen.print()
        self._say(f"{name} {args}", "bold")
        self._say("This tool is yours to run. Type its result as JSON, or ! and why it failed.", "dim")
        answered: JsonObject = {"toolCallId": call.get("toolCallId"), "toolName": name}
        while True:
            typed = await self._prompt("result", "")
            if typed.startswith("!"):
                return {**answered, "error": typed[1:].strip() or "It failed."}
            try:
                return {**answered, "result": json.loads(typed)}
            except ValueError:
                self._say('This is no JSON; write text in quotes, such as "sunny".', "yellow")

    async def _prompt(self, name: str, hint: str) -> str:
        prompt = Text.assemble(_INDENT, (one_line(name), "bold"))
        if hint:
            prompt.append(f" ({one_line(hint)})", style="dim")
        self._screen.print(prompt, end=" ❯ ", soft_wrap=True)
        self._screen.file.flush()
        return await self._keyboard.line()

    def _say(self, text: str, style: str) -> None:
        self._screen.print(Text(_INDENT + one_line(text), style=style))


def tool_calls(question: Question) -> list[JsonObject]:
    """Return the calls that a question of the type `client_tool` asks for."""
    calls = question.context.get("toolCalls")
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []


def how_to_answer(question: Question, *, option: str) -> str:
    """Say what is asked, and how to answer from elsewhere.

    Args:
        question: An open one.
        option: What the command needs to find the database, with a blank before it; may be empty.
    """
    example = json.dumps(_example(question), ensure_ascii=False)
    asked = f"the run waits for an answer to {one_line(question.title)!r}"
    if question.type == "client_tool":
        asked = f"the run waits for the client's tools: {', '.join(str(call.get('toolName')) for call in tool_calls(question))}"
    command = f"agent-worker tasks answer {str(question.id)[:8]} {shlex.quote(example)}{option}"
    literal = example.replace("'", "''")
    update = f"UPDATE human_tasks SET response = '{literal}' WHERE id = '{question.id}'"  # noqa: S608 - is shown
    return f"{asked} · run: {command} · or in SQL: {update}"


def _example(question: Question) -> JsonObject:
    if question.type != "client_tool":
        return {"approved": True}
    return {
        "toolResults": [
            {"toolCallId": call.get("toolCallId"), "result": "…"} for call in tool_calls(question)
        ]
    }


def _reader(schema: JsonObject) -> tuple[Read, str]:
    """Return what reads a field, and what may be typed."""
    if isinstance(choices := schema.get("enum"), list):
        return _choice(choices), " or ".join(map(str, choices))
    match schema.get("type"):
        case "boolean":
            return _truth, "y or n"
        case "integer":
            return int, "a whole number"
        case "number":
            return float, "a number"
        case "array" | "object":
            return _json, "JSON"
        case _:
            return _words, ""


def _choice(choices: list[JsonValue]) -> Read:
    def read(typed: str) -> JsonValue:
        found = [each for each in choices if str(each).lower() == typed.lower()]
        found = found or [each for each in choices if typed and str(each).lower().startswith(typed.lower())]
        if len(found) != 1:
            raise ValueError(f"Type one of {', '.join(map(str, choices))}.")
        return found[0]

    return read


def _truth(typed: str) -> JsonValue:
    if typed.lower() in _YES:
        return True
    if typed.lower() in _NO:
        return False
    raise ValueError("Type y or n.")


def _json(typed: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(typed)
    except ValueError as error:
        raise ValueError("This is no JSON.") from error
    return value


def _words(typed: str) -> JsonValue:
    if not typed:
        raise ValueError("Type something.")
    return typed
