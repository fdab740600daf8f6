"""What lies in deploy/, read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
DOCKERFILE = DEPLOY / "Dockerfile"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
MANIFESTS = sorted(KUBERNETES.glob("*.yaml"))

Manifest = dict[str, Any]

ROOM_TO_END_S = 20
"""What a worker may need beyond its grace period; `SLACK_S` in agent_worker/cli/processes.py."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def documents(path: Path) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def manifest(kind: str) -> Manifest:
    """The one manifest of a kind."""
    (found,) = (each for path in MANIFESTS for each in documents(path) if each["kind"] == kind)
    return found


def compose() -> Manifest:
    (found,) = documents(DEPLOY / "compose.yaml")
    return found


def containers() -> Iterator[Manifest]:
    """Every container of every workload in kubernetes/."""
    for kind in ("Deployment", "Job"):
        yield from manifest(kind)["spec"]["template"]["spec"]["containers"]


def dockerfile() -> Iterator[tuple[str, str, str]]:
    """Stage, instruction and arguments, in order; the last stage is called `image`."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    stage = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, arguments = line.partition(" ")
        if instruction == "FROM":
            stage = named[1] if (named := re.search(r" AS (\w+)$", arguments)) else "image"
        yield stage, instruction, arguments.strip()


def instructions(instruction: str, *, stage: str = "image") -> list[str]:
    return [args for where, what, args in dockerfile() if (where, what) == (stage, instruction)]


def seconds(text: str) -> int:
    """Read `60` or `60s`."""
    return int(text.removesuffix("s"))
