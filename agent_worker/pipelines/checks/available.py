"""What a definition may say and no worker of this kind can do: it is read, and refused when the run comes to it."""

from __future__ import annotations

from collections.abc import Iterator

from agent_worker.pipelines.definition.blocks import (
    GenerateSpeech,
    GenerateVideo,
    TranscribeAudio,
)
from agent_worker.pipelines.definition.document import AGENT, Definition
from agent_worker.pipelines.problems import Path, Problems

_FAILS = "is read, and fails when it runs (unsupported)"
_UNUSED = "is read, and changes nothing here"
_OUT_OF_REACH = f"devices and consumers cannot be reached from here: it {_FAILS}"


def check_available(definition: Definition, problems: Problems) -> None:
    """Warn of everything that will fail when it runs, and of what changes nothing here."""
    for path, message in (*_of_threads(definition), *_of_sections(definition), *_of_blocks(definition)):
        problems.warning(path, message)


def _of_threads(definition: Definition) -> Iterator[tuple[Path, str]]:
    for path, config in definition.threads():
        if config.skills:
            message = "skills need a sandbox; where there is none they fail with sandbox_unavailable"
            yield (*path, "skills"), message
        refused = {"webSearch": config.web_search, "anthropic": config.anthropic is not None}
        for field, is_wanted in refused.items():
            if is_wanted:
                yield (*path, field), f"{field} {_FAILS}"
        unused = {
            "imageModel": config.image_model,
            "videoModel": config.video_model,
            "maxImageDimension": config.max_image_dimension,
            "speed": config.speed,
            "cache": None if config.cache == "auto" else config.cache,
        }
        for field, value in unused.items():
            if value is not None:
                yield (*path, field), f"{field} {_UNUSED}"


def _of_sections(definition: Definition) -> Iterator[tuple[Path, str]]:
    for name, skill in definition.skills.items():
        if skill.execution == "device":
            yield ("skills", name, "execution"), _OUT_OF_REACH
    for name, server in definition.mcp_servers.items():
        if server.source != "remote":
            yield ("mcpServers", name, "source"), _OUT_OF_REACH
        elif server.execution == "device":
            yield ("mcpServers", name, "execution"), _OUT_OF_REACH
    if definition.on_demand_skills is not None:
        yield ("onDemandSkills",), f"onDemandSkills {_UNUSED}"
    if definition.agent is not None and definition.agent.context is not None:
        yield (*AGENT, "contextManagement"), f"contextManagement {_UNUSED}"


def _of_blocks(definition: Definition) -> Iterator[tuple[Path, str]]:
    for block in definition.blocks():
        if isinstance(block, GenerateVideo | GenerateSpeech | TranscribeAudio):
            yield (*block.path, "block"), f"{block.kind} {_FAILS}: no provider for it is built in"
