"""`start-thread`: begin a conversation; what its fields refer to is read now and stays."""

from __future__ import annotations

from typing import TypeVar

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.json import JsonValue
from agent_worker.pipelines.definition.blocks import StartThread
from agent_worker.pipelines.definition.threads import OFF, ThreadConfig
from agent_worker.pipelines.definition.values import Ref
from agent_worker.pipelines.names import MAIN_THREAD, is_model
from agent_worker.pipelines.running.execution import Step, unsupported
from agent_worker.pipelines.running.state import Effect, Thread
from agent_worker.pipelines.running.toolbox import mcp, skills

T = TypeVar("T")

_HOTTEST = 2.0
_EFFORTS = ("low", "medium", "high", "max", OFF)


async def run(step: Step, block: StartThread) -> Effect:
    """Check what the thread wants and resolve its setup.

    Raises:
        ProcessorError: `sandbox_unavailable` for skills, `unsupported` for what is not run here, `invalid_setting` for
            a variable that holds something else than the field takes.
    """
    config = block.config
    _check_available(block.name, config)
    skills.check(step, config)
    mcp.check(step, config)
    setup: dict[str, JsonValue] = {"step": block.key, "model": _model(step, "model", _chosen(step, config))}
    if config.backup_model is not None:
        setup["backup"] = _model(step, "backupModel", config.backup_model)
    if config.system is not None:
        setup["system"] = await step.execution.prompt(config.system, config.input, step.scope)
    if (temperature := _temperature(_now(step, config.temperature))) is not None:
        setup["temperature"] = temperature
    if (thinking := _now(step, config.thinking)) is not None:
        setup["thinking"] = _checked("thinking", thinking, is_right=thinking in _EFFORTS)
    setup["maxSteps"] = _max_steps(_now(step, config.max_steps))
    return Effect(started={block.thread: Thread(setup)})


def _check_available(name: str, config: ThreadConfig) -> None:
    wanted = {
        "webSearch": config.web_search,
        "anthropic": config.anthropic,
    }
    for field, value in wanted.items():
        if value:
            raise unsupported(f"The thread of {name!r} wants {field}, which is not available here.")


def _now(step: Step, value: T | Ref) -> T | JsonValue:
    return step.scope.values.get(value.name) if isinstance(value, Ref) else value


def _chosen(step: Step, config: ThreadConfig) -> Ref | JsonValue:
    """Return the thread's model; where it names none, which only agents may, the main thread's."""
    main = step.scope.threads.get(MAIN_THREAD)
    return config.model if config.model is not None or main is None else main.setup["model"]


def _model(step: Step, field: str, value: Ref | JsonValue) -> str:
    model = _now(step, value)
    if not isinstance(model, str) or not is_model(model):
        raise _wrong(field, model)
    return model


def _temperature(value: object) -> float | None:
    """Read 0 to 2, as a number or its text; `off` and nothing send none."""
    if value is None or value in (OFF, ""):
        return None
    try:
        number = float(value) if isinstance(value, int | float | str) else -1.0
    except ValueError:
        number = -1.0
    if not 0 <= number <= _HOTTEST:
        raise _wrong("temperature", value)
    return number


def _max_steps(value: object) -> int:
    if value is None:
        return 1
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _wrong("maxSteps", value)
    return value


def _checked(field: str, value: object, *, is_right: bool) -> str:
    if not is_right:
        raise _wrong(field, value)
    return str(value)


def _wrong(field: str, value: object) -> ProcessorError:
    return unsupported(f"{field} cannot be {value!r}.", code="invalid_setting")
