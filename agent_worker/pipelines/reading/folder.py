"""Read a definition from a folder: `settings.json`, `protocol.yaml`, `prompts/**/*.md`, `references/*.md`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.json import JsonValue
from agent_worker.pipelines.problems import PROTOCOL, SETTINGS, Problem
from agent_worker.pipelines.reading.nodes import MapNode, Scalar
from agent_worker.pipelines.reading.source import MAX_FILE_BYTES, MAX_FILES, ReferenceText, Source
from agent_worker.pipelines.reading.yaml import YamlError, read_yaml

_FRONTMATTER = re.compile(r"---\r?\n(.*?\r?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_LONGEST_FRONTMATTER = 16_384
_SUFFIX = ".md"


def read_folder(folder: Path) -> Source:
    """Return what lies in a folder; what is wrong with single files goes into the source's problems.

    Links among prompts and references are not followed out of the folder.

    Raises:
        ConfigurationError: There is no such folder, or nothing in it that makes it a definition.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"{folder} is no folder · a definition is a folder with {SETTINGS} and {PROTOCOL}"
        )
    if not any((folder / name).exists() for name in (SETTINGS, PROTOCOL)):
        raise ConfigurationError(
            f"{folder} holds no definition · neither {SETTINGS} nor {PROTOCOL} is in it · name the folder they are in"
        )
    problems: list[Problem] = []
    settings = _settings(folder, problems)
    protocol = _text(folder / PROTOCOL, PROTOCOL, problems)
    prompts = dict(_texts(folder, "prompts", "**/*.md", problems))
    references = {
        name: _reference(name, text, problems)
        for name, text in _texts(folder, "references", "*.md", problems)
    }
    return Source(settings, protocol, prompts, references, tuple(problems))


def _settings(folder: Path, problems: list[Problem]) -> JsonValue:
    text = _text(folder / SETTINGS, SETTINGS, problems)
    if text is None:
        return None
    try:
        settings: JsonValue = json.loads(text)
    except json.JSONDecodeError as error:
        problems.append(Problem(f"this is no JSON: {error.msg}", "error", SETTINGS, line=error.lineno))
    except (ValueError, RecursionError):
        problems.append(Problem("this is no JSON", "error", SETTINGS))
    else:
        return settings
    return None


def _texts(folder: Path, kind: str, pattern: str, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    """Yield name and text of each file, in order of the names; one more than is allowed, so that it is noticed."""
    root = folder / kind
    files = sorted(path for path in root.glob(pattern) if path.is_file())
    for path in files[: MAX_FILES + 1]:
        name = path.relative_to(root).as_posix().removesuffix(_SUFFIX)
        if not path.resolve().is_relative_to(folder.resolve()):
            problems.append(
                Problem("the file is a link out of the folder", "error", f"{kind}/{name}{_SUFFIX}")
            )
            continue
        text = _text(path, f"{kind}/{name}{_SUFFIX}", problems)
        if text is not None:
            yield name, text


def _text(path: Path, file: str, problems: list[Problem]) -> str | None:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            problems.append(Problem(f"the file is larger than {MAX_FILE_BYTES // 1024} KiB", "error", file))
            return None
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        problems.append(Problem("the file is missing", "error", file))
    except UnicodeDecodeError:
        problems.append(Problem("the file is no UTF-8 text", "error", file))
    except OSError as error:
        problems.append(Problem(f"the file cannot be read: {error.strerror}", "error", file))
    return None


def _reference(name: str, text: str, problems: list[Problem]) -> ReferenceText:
    """Take a reference apart: YAML between two lines of dashes, then its content."""
    file = f"references/{name}{_SUFFIX}"
    match = _FRONTMATTER.match(text, 0, _LONGEST_FRONTMATTER)
    if match is None:
        message = "the file must begin with --- and a line `description: …`, and ---"
        problems.append(Problem(message, "error", file, line=1))
        return ReferenceText(None, text)
    try:
        node, mistakes = read_yaml(match[1] or "{}")
    except YamlError as error:
        problems.append(Problem(error.message, "error", file, line=1 + (error.line or 0)))
        return ReferenceText(None, text[match.end() :])
    problems.extend(Problem(each.message, "error", file, line=1 + (each.line or 0)) for each in mistakes)
    entry = node.entries.get("description") if isinstance(node, MapNode) else None
    value = entry.node.value if entry is not None and isinstance(entry.node, Scalar) else None
    return ReferenceText(value if isinstance(value, str) else None, text[match.end() :])
