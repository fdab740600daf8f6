"""Tools for a thread with skills: read and run them, run code, keep files, all in one sandbox.

The sandbox is made at the first call and closed when the step has ended, failed or parked. What it holds is not
remembered: a step that goes on in another attempt has its finished calls, and a fresh sandbox for the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from agent_worker.domain.chat import ToolSpec
from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.definition.declarations import Display
from agent_worker.pipelines.definition.threads import ThreadConfig
from agent_worker.pipelines.running.execution import Step, unsupported
from agent_worker.pipelines.running.sandbox import Ran, Sandbox, SandboxEngine
from agent_worker.pipelines.running.toolbox.offer import Call, Offer, Outcome

_CLOSE_S = 10.0
"""Longest that a step waits for its sandbox to be closed."""

_TEXT: JsonObject = {"type": "string"}

Use: TypeAlias = Callable[[Sandbox, Mapping[str, str], Sequence[str]], Awaitable["JsonValue | Ran"]]
"""Calls a sandbox with the texts of a call, and with its list `arguments`."""


@dataclass(frozen=True, slots=True)
class _Tool:
    name: str
    description: str
    texts: tuple[str, ...]
    use: Use
    has_arguments: bool = False


async def _write(sandbox: Sandbox, texts: Mapping[str, str], _: Sequence[str]) -> str:
    await sandbox.write_file(texts["path"], texts["content"])
    return "The file is written."


async def _list(sandbox: Sandbox, texts: Mapping[str, str], _: Sequence[str]) -> JsonValue:
    return list(await sandbox.list_skill(texts["skill"]))


_TOOLS = (
    _Tool(
        "agent_worker_skill_read",
        "Read the instructions of a skill before you use it.",
        ("skill",),
        lambda sandbox, texts, _: sandbox.read_skill(texts["skill"]),
    ),
    _Tool("agent_worker_skill_list", "List the files of a skill.", ("skill",), _list),
    _Tool(
        "agent_worker_skill_run",
        "Run a script of a skill.",
        ("skill", "script"),
        lambda sandbox, texts, arguments: sandbox.run_skill(texts["skill"], texts["script"], arguments),
        has_arguments=True,
    ),
    _Tool(
        "agent_worker_code_run",
        "Run a program. Files that it leaves in /output/ are shown to the user.",
        ("language", "code"),
        lambda sandbox, texts, _: sandbox.run_code(texts["language"], texts["code"]),
    ),
    _Tool("agent_worker_file_write", "Write a text file.", ("path", "content"), _write),
    _Tool(
        "agent_worker_file_read",
        "Read a text file.",
        ("path",),
        lambda sandbox, texts, _: sandbox.read_file(texts["path"]),
    ),
)


def check(step: Step, config: ThreadConfig) -> None:
    """Refuse skills that cannot be run here.

    Raises:
        ProcessorError: There is no sandbox (code `sandbox_unavailable`), or one is to run on a device (`unsupported`).
    """
    if not config.skills:
        return
    if step.execution.around.sandboxes is None:
        raise unsupported(
            f"The thread of {step.block.name!r} wants skills, which need a sandbox, and there is none here.",
            code="sandbox_unavailable",
        )
    for name in config.skills:
        if step.execution.definition.skills[name].execution == "device":
            raise unsupported(f"The skill {name!r} is to run on a device, which is not possible here.")


async def offers(step: Step, config: ThreadConfig) -> list[Offer]:
    """Return the tools, for a thread that has skills."""
    engine = step.execution.around.sandboxes
    if not config.skills or engine is None:
        return []
    sandbox = _Lazy(step, engine, config)
    return [_offer(step, config, sandbox, tool) for tool in _TOOLS]


class _Lazy:
    """A sandbox that is made when it is needed, and once."""

    def __init__(self, step: Step, engine: SandboxEngine, config: ThreadConfig) -> None:
        self._step = step
        self._engine = engine
        self._config = config
        self._lock = asyncio.Lock()
        self._sandbox: Sandbox | None = None

    async def get(self) -> Sandbox:
        async with self._lock:
            if self._sandbox is None:
                self._sandbox = await self._engine.open(
                    skills=self._config.skills, timeout_s=self._config.sandbox_timeout_s
                )
                self._step.opened.push_async_callback(_close, self._sandbox)
            return self._sandbox


async def _close(sandbox: Sandbox) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_S):
            await sandbox.close()


def _offer(step: Step, config: ThreadConfig, sandbox: _Lazy, tool: _Tool) -> Offer:
    properties: dict[str, JsonValue] = dict.fromkeys(tool.texts, _TEXT)
    skills = step.execution.definition.skills
    description = tool.description
    if "skill" in properties:
        properties["skill"] = {"type": "string", "enum": list(config.skills)}
        known = "; ".join(f"{name}: {skills[name].description or name}" for name in config.skills)
        description = f"{description} There are: {known}"
    if tool.has_arguments:
        properties["arguments"] = {"type": "array", "items": _TEXT}

    async def run(call: Call, _part: str) -> Outcome:
        try:
            result = await tool.use(await sandbox.get(), *_given(tool, call.arguments))
        except ProcessorError as error:
            return Outcome(error=str(error), is_retryable=error.retryable)
        return Outcome(await _told(step, call, result) if isinstance(result, Ran) else result)

    def display(call: Call) -> tuple[Display, str | None]:
        skill = skills.get(str(call.arguments.get("skill")))
        return ("description", None) if skill is None else (skill.display, skill.title)

    parameters: JsonObject = {
        "type": "object",
        "properties": properties,
        "required": list(tool.texts),
        "additionalProperties": False,
    }
    return Offer(ToolSpec(tool.name, description, parameters), run, display_of=display)


def _given(tool: _Tool, arguments: JsonObject) -> tuple[dict[str, str], Sequence[str]]:
    given = arguments.get("arguments", ())
    texts = {name: str(arguments[name]) for name in tool.texts}
    return texts, [str(each) for each in given] if isinstance(given, list) else ()


async def _told(step: Step, call: Call, ran: Ran) -> JsonValue:
    """Show the files that came of it, and return what the model reads."""
    for file in ran.files:
        await step.voice.say("file-available", {**file, "toolCallId": call.id})
    return {
        "exitCode": ran.exit_code,
        "stdout": ran.stdout,
        "stderr": ran.stderr,
        "files": [file.get("filename") or file["url"] for file in ran.files],
    }
