"""What a definition consists of before it is read: the texts of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.problems import Problem

MAX_FILES = 500
"""Most prompts, and most references."""
MAX_FILE_BYTES = 1024 * 1024
"""Largest prompt or reference."""
MAX_TOTAL_BYTES = 16 * 1024 * 1024
"""Most bytes of all prompts and references together."""


@dataclass(frozen=True, slots=True)
class ReferenceText:
    """A reference before it is checked; the description is None when there is none."""

    description: str | None
    content: str


@dataclass(frozen=True, slots=True)
class Source:
    """A definition's texts, from a folder or from a request.

    Attributes:
        settings: What `settings.json` holds; None when it cannot be read, which `problems` then says.
        protocol: The text of `protocol.yaml`; None when there is none, which `problems` then says.
        prompts: Texts by name.
        references: By name.
        problems: What was wrong already with the way it came.
    """

    settings: JsonValue
    protocol: str | None
    prompts: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, ReferenceText] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def as_json(self) -> JsonObject:
        """Return the wire form: `{settings, protocol, prompts: [{name, content}], references: [{name, …}]}`."""
        return {
            "settings": self.settings,
            "protocol": self.protocol or "",
            "prompts": [{"name": name, "content": content} for name, content in self.prompts.items()],
            "references": [
                {"name": name, "description": each.description or "", "content": each.content}
                for name, each in self.references.items()
            ],
        }


def prompt_file(name: str) -> str:
    """Return where a prompt's text lies in a folder."""
    return f"prompts/{name}.md"


def reference_file(name: str) -> str:
    """Return where a reference's text lies in a folder."""
    return f"references/{name}.md"


def too_large(kind: str, texts: Mapping[str, str]) -> list[Problem]:
    """Return what is too much: how many texts there are, or how long they are.

    Args:
        kind: `prompts` or `references`: the folder they lie in.
        texts: By name.
    """
    found = []
    if len(texts) > MAX_FILES:
        found.append(
            Problem(f"there are {len(texts):,} {kind}; at most {MAX_FILES:,} are allowed", "error", kind)
        )
    sizes = {name: len(text.encode("utf-8", "surrogatepass")) for name, text in texts.items()}
    for name, size in sizes.items():
        if size > MAX_FILE_BYTES:
            message = f"the file is larger than {MAX_FILE_BYTES // 1024} KiB"
            found.append(Problem(message, "error", f"{kind}/{name}.md"))
    if sum(sizes.values()) > MAX_TOTAL_BYTES:
        message = f"the {kind} are larger than {MAX_TOTAL_BYTES // 1024 // 1024} MiB together"
        found.append(Problem(message, "error", kind))
    return found
