"""Where models run code and skills. No engine is built in: whoever embeds the runner may bring one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent_worker.domain.json import JsonObject


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of running something.

    Attributes:
        exit_code: 0 is success.
        stdout: What it wrote, cut by the engine where it is long.
        stderr: The same for errors.
        files: What it left in `/output/`, stored where clients can fetch it: each `{id, mediaType, url, filename?, size?}`.
    """

    exit_code: int
    stdout: str = ""
    stderr: str = ""
    files: Sequence[JsonObject] = ()


class Sandbox(Protocol):
    """A machine of its own without a network, with the skills of one thread.

    Every method may raise `ProcessorError`, which the model reads as the failure of its call.
    """

    async def read_skill(self, skill: str) -> str:
        """Return a skill's instructions."""
        ...

    async def list_skill(self, skill: str) -> Sequence[str]:
        """Return the paths of a skill's files."""
        ...

    async def run_skill(self, skill: str, script: str, arguments: Sequence[str]) -> Ran:
        """Run a script of a skill."""
        ...

    async def run_code(self, language: str, code: str) -> Ran:
        """Run a program."""
        ...

    async def write_file(self, path: str, content: str) -> None:
        """Write a text file."""
        ...

    async def read_file(self, path: str) -> str:
        """Return the content of a text file."""
        ...

    async def close(self) -> None:
        """Give everything back; raises nothing."""
        ...


class SandboxEngine(Protocol):
    """Makes sandboxes."""

    async def open(self, *, skills: Sequence[str], timeout_s: float) -> Sandbox:
        """Make a sandbox.

        Args:
            skills: Names of the skills that it holds.
            timeout_s: How long it may live; from then on its methods fail.

        Raises:
            ProcessorError: There is none to be had, or a skill is not known.
        """
        ...
