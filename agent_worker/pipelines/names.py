"""How things are called in a definition, and which names are taken."""

from __future__ import annotations

import re
from hashlib import sha256

PIPELINE = "pipeline"
"""The kind of tasks that run definitions, and of the definitions that are stored for them."""

MAIN_THREAD = "main"
"""The thread of an interactive agent, and of blocks that name none."""

_OURS, _PROTOCOLS = "agent_worker_", "octavus_"
RESERVED_PREFIXES = (_PROTOCOLS, _OURS)
"""Beginnings of names of built-in tools."""

MCP_SEPARATOR = "__"
"""Between an MCP server's name and its tool's: `figma__get_file`."""

RUN_START = "run:start"
"""The checkpoint with which a run begins, its pins; the outermost `worker-start` is said in it."""

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_TYPE = re.compile(r"[A-Z][A-Za-z0-9]{0,127}")
_TOOL = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_MODEL = re.compile(r"[a-z][a-z0-9_.-]{0,63}/[^\s]{1,200}")


LONGEST_PART = 60
"""Characters of a step's name in the names of its executions."""

LONGEST_PLACE = 200
"""Characters of the name of an execution: keys of checkpoints and questions take 255, and say more than that."""


def shortened(name: str, most: int) -> str:
    """Return a name that is short enough: itself, or its beginning and a digest that no other name has."""
    if len(name) <= most:
        return name
    digest = sha256(name.encode()).hexdigest()[:20]
    return f"{name[: most - len(digest) - 1]}~{digest}"


def block_step(place: str) -> str:
    """Return the key under which what a block has done is remembered; what it says is said in this step."""
    return f"block:{place}"


def is_variable(name: str) -> bool:
    """Tell whether a name is UPPER_SNAKE, as inputs, variables and resources are."""
    return _VARIABLE.fullmatch(name) is not None


def is_slug(name: str) -> bool:
    """Tell whether a name consists of lower-case letters, digits and dashes."""
    return _SLUG.fullmatch(name) is not None


def is_type(name: str) -> bool:
    """Tell whether a name is PascalCase."""
    return _TYPE.fullmatch(name) is not None


def is_tool(name: str) -> bool:
    """Tell whether providers accept a name for a tool."""
    return _TOOL.fullmatch(name) is not None


def is_model(name: str) -> bool:
    """Tell whether a name is `provider/model`."""
    return _MODEL.fullmatch(name) is not None


def as_built_in(name: str) -> str:
    """Return our name of a built-in tool that is called by its name in the protocol; any other name as it is."""
    return _OURS + name.removeprefix(_PROTOCOLS) if name.startswith(_PROTOCOLS) else name


def is_reserved(name: str) -> bool:
    """Tell whether a tool's name is one that only built-in tools may have."""
    return name.startswith(RESERVED_PREFIXES)
