"""Read how a thread talks to its model: the fields that `start-thread` and `agent` share, and the rest of `agent`."""

from __future__ import annotations

from typing import Literal

from agent_worker.domain.chat import Thinking
from agent_worker.pipelines.definition.declarations import DISPLAYS
from agent_worker.pipelines.definition.threads import (
    DEFAULT_SANDBOX_TIMEOUT_S,
    LONGEST_SANDBOX_TIMEOUT_S,
    OFF,
    Agent,
    AnthropicOptions,
    Cache,
    ContextManagement,
    ProviderSkill,
    ProviderTool,
    Speed,
    ThreadConfig,
)
from agent_worker.pipelines.definition.values import Ref
from agent_worker.pipelines.durations import parse_duration
from agent_worker.pipelines.problems import suggestion
from agent_worker.pipelines.reading.declarations import read_display
from agent_worker.pipelines.reading.fields import Fields
from agent_worker.pipelines.reading.nodes import Scalar, describe
from agent_worker.pipelines.reading.scope import (
    Scope,
    read_bindings,
    read_model,
    read_name,
    read_names,
    read_reference,
    read_tools,
    variable_text,
)

_THINKING: tuple[Thinking, ...] = ("low", "medium", "high", "max", "off")
_SPEEDS: tuple[Speed, ...] = ("fast", "standard")
_CACHES: tuple[Cache, ...] = ("auto", "extended", "off")
_HOTTEST = 2.0
_MOST_STEPS = 1000
_ANTHROPIC = "anthropic"
_ANTHROPIC_TOOLS = ("web-search", "code-execution")


def read_thread(fields: Fields, scope: Scope, *, must_have_prompt: bool) -> ThreadConfig:
    """Read a thread's configuration; other fields of the mapping are the caller's."""
    model = read_model(fields, "model", scope)
    config = ThreadConfig(
        model=model,
        backup_model=read_model(fields, "backupModel", scope),
        system=read_name(fields, "system", "prompt", scope.prompts, required=must_have_prompt),
        input=read_bindings(fields, scope),
        tools=read_tools(fields, scope),
        skills=read_names(fields, "skills", "skill", scope.skills),
        references=read_names(fields, "references", "reference", scope.references),
        mcp_servers=read_names(fields, "mcpServers", "MCP server", scope.mcp_servers.keys()),
        workers=read_names(fields, "workers", "worker", scope.workers.keys()),
        image_model=read_model(fields, "imageModel", scope),
        video_model=read_model(fields, "videoModel", scope),
        web_search=fields.flag("webSearch"),
        todo_list=fields.flag("todoList"),
        thinking=_reference(fields, "thinking", scope) or fields.choice("thinking", _THINKING),
        temperature=_temperature(fields, scope),
        speed=_reference(fields, "speed", scope) or fields.choice("speed", _SPEEDS),
        cache=fields.choice("cache", _CACHES) or "auto",
        max_steps=_reference(fields, "maxSteps", scope) or fields.whole("maxSteps", at_most=_MOST_STEPS),
        sandbox_timeout_s=_sandbox_timeout_s(fields),
        max_tool_output_tokens=fields.whole("maxToolOutputTokens"),
        max_output_tokens=fields.whole("maxOutputTokens"),
        max_image_dimension=fields.whole("maxImageDimension"),
        loop_guard=fields.flag("loopGuard"),
        anthropic=_anthropic(fields, model),
    )
    if model is None and must_have_prompt and not fields.has("model"):
        fields.missing("model")
    return config


def read_agent(document: Fields, scope: Scope) -> Agent | None:
    """Read `agent`."""
    fields = document.section("agent")
    if fields is None:
        return None
    config = read_thread(fields, scope, must_have_prompt=True)
    agent = Agent(config, fields.flag("agentic"), _context(fields, scope))
    fields.close()
    return agent


def _reference(fields: Fields, name: str, scope: Scope) -> Ref | None:
    text = variable_text(fields.node(name))
    return None if text is None else read_reference(fields, name, text, scope)


def _temperature(fields: Fields, scope: Scope) -> float | Literal["off"] | Ref | None:
    if (reference := _reference(fields, "temperature", scope)) is not None:
        return reference
    match fields.node("temperature"):
        case Scalar(value="off"):
            return OFF
        case Scalar(value=str() as text):
            try:
                number = float(text[:20])
            except ValueError:
                number = -1.0
            if 0 <= number <= _HOTTEST:
                return number
    return fields.number("temperature", at_least=0, at_most=_HOTTEST)


def _sandbox_timeout_s(fields: Fields) -> float:
    """Read milliseconds, or a duration with a unit."""
    match fields.node("sandboxTimeout"):
        case None:
            return DEFAULT_SANDBOX_TIMEOUT_S
        case Scalar(value=bool()) as other:
            seconds = None
        case Scalar(value=int() as milliseconds) as other:
            seconds = milliseconds / 1000
        case Scalar() as other:
            seconds = parse_duration(other.text)
        case other:
            seconds = None
    if seconds is not None and 0 < seconds <= LONGEST_SANDBOX_TIMEOUT_S:
        return seconds
    message = (
        f"must be milliseconds from 1 to 3,600,000, or a duration up to 1h; here it is {describe(other)}"
    )
    if isinstance(other, Scalar):
        message = message.rpartition("; ")[0] + f"; here it is {other.text[:40]}"
    fields.problems.error(fields.at("sandboxTimeout"), message)
    return DEFAULT_SANDBOX_TIMEOUT_S


def _anthropic(fields: Fields, model: str | Ref | None) -> AnthropicOptions | None:
    section = fields.section(_ANTHROPIC)
    if section is None:
        return None
    provider = model.partition("/")[0] if isinstance(model, str) else _ANTHROPIC
    if provider != _ANTHROPIC:
        message = f'"anthropic" options need a model of anthropic; the provider here is "{provider[:64]}"'
        fields.problems.error(section.path, message)
    tools = []
    for key, each in section.sections("tools"):
        if key not in _ANTHROPIC_TOOLS:
            hint = suggestion(key, _ANTHROPIC_TOOLS)
            section.problems.error(each.path, f"anthropic has no such tool{hint}")
        tools.append(ProviderTool(key, read_display(each, "description"), each.text("description")))
        each.close()
    skills = [_provider_skill(key, each) for key, each in section.sections("skills")]
    section.close()
    return AnthropicOptions(tuple(tools), tuple(skills))


def _provider_skill(name: str, fields: Fields) -> ProviderSkill:
    if not fields.has("type"):
        fields.missing("type")
    custom = fields.choice("type", ("anthropic", "custom")) == "custom"
    version = fields.node("version")
    skill = ProviderSkill(
        name=name,
        type="custom" if custom else "anthropic",
        version=version.text if isinstance(version, Scalar) else "latest",
        display=fields.choice("display", DISPLAYS) or "description",
        description=fields.text("description"),
    )
    fields.close()
    return skill


def _context(fields: Fields, scope: Scope) -> ContextManagement | None:
    section = fields.section("contextManagement")
    if section is None:
        return None
    usual = ContextManagement()
    threshold = section.number("thresholdPercent", at_least=0.01, at_most=1)
    window = section.whole("recentWindow", at_least=0)
    found = ContextManagement(
        summarizer_worker=read_name(section, "summarizerWorker", "worker", scope.workers.keys()),
        threshold_percent=usual.threshold_percent if threshold is None else threshold,
        recent_window=usual.recent_window if window is None else window,
        recent_percent=section.number("recentPercent", at_least=0, at_most=1),
    )
    if (
        found.summarizer_worker is not None
        and found.recent_percent is None
        and not section.has("recentWindow")
    ):
        section.problems.warning(
            section.at("summarizerWorker"),
            "without recentPercent, the newest 30 messages are kept however long they are",
        )
    section.close()
    return found
