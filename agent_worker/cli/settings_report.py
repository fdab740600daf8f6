"""Settings as rows to print and as a `.env` file to start from."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from annotated_types import Ge, Gt, Le, Lt
from dotenv import dotenv_values
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from agent_worker.db.connection import complete_conninfo, describe_target
from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.records import Record
from agent_worker.registry import ProcessorClass, settings_class
from agent_worker.settings import ENV_FILE, Settings, env_names, read

MASK = "***"

_HEAD = """\
# Every setting of agent-worker with its default. Remove the # from what you change.
# A variable of the environment beats this file, and an option of the command line beats both.
# This file is the output of: agent-worker config --env-example
"""


@dataclass(frozen=True, slots=True)
class Row(Record):
    """One setting.

    Attributes:
        name: The variable that sets it.
        value: In force; secrets masked, empty when it is not set.
        source: default, .env, environment or command line.
        owner: The program, or the kind of the processor that reads it.
    """

    name: str
    value: str
    source: str
    description: str
    owner: str


def rows(settings: Settings, classes: Mapping[str, ProcessorClass], *, typed: Collection[str]) -> list[Row]:
    """Return every setting, the program's own first, then each processor's.

    Args:
        settings: In force.
        classes: Processors by kind.
        typed: Fields of `Settings` that came from the command line.

    Raises:
        ConfigurationError: A processor's setting is missing or out of range.
    """
    found = list(_rows(settings, "agent-worker", typed))
    for kind, cls in _settings_classes(classes):
        found += _rows(read(cls), kind, ())
    return found


def env_example(classes: Mapping[str, ProcessorClass]) -> str:
    """Return a `.env` file in which every setting is described and commented out."""
    parts = [_HEAD, *_examples(Settings)]
    for kind, cls in _settings_classes(classes):
        parts += [f"# Tasks of the kind {kind}\n", *_examples(cls)]
    return "\n".join(parts)


def _settings_classes(classes: Mapping[str, ProcessorClass]) -> Iterator[tuple[str, type[BaseSettings]]]:
    for kind, cls in sorted(classes.items()):
        found = settings_class(cls)
        if found is not None:
            yield kind, found


def _rows(settings: BaseSettings, owner: str, typed: Collection[str]) -> Iterator[Row]:
    cls = type(settings)
    for field, info in cls.model_fields.items():
        name = env_names(cls, field)[0]
        source = "command line" if field in typed else _source(env_names(cls, field))
        yield Row(name, _text(field, getattr(settings, field)), source, info.description or "", owner)


def _source(names: Collection[str]) -> str:
    """Say where a value comes from; names are read without regard to case, and an empty value counts as none."""
    wanted = {name.lower() for name in names}
    if any(value and name.lower() in wanted for name, value in os.environ.items()):
        return "environment"
    from_file = dotenv_values(ENV_FILE) if Path(ENV_FILE).is_file() else {}
    return ".env" if any(value and name.lower() in wanted for name, value in from_file.items()) else "default"


def _text(field: str, value: object) -> str:
    match value:
        case None | ():
            return ""
        case SecretStr() if field == "database_url":
            return _without_password(value.get_secret_value())
        case SecretStr():
            return MASK
        case float():
            return f"{value:g}"
        case tuple() | list():
            return ",".join(map(str, value))
        case _:
            return str(value)


def _without_password(url: str) -> str:
    try:
        return f"{MASK}@{describe_target(complete_conninfo(url))}"
    except ConfigurationError:
        return f"{MASK} (no connection string)"


def _examples(cls: type[BaseSettings]) -> Iterator[str]:
    for field, info in cls.model_fields.items():
        default = "" if info.default is PydanticUndefined else _text(field, info.default)
        about = " ".join(filter(None, (info.description, _range(info))))
        yield f"# {about}\n# {env_names(cls, field)[0]}={default}\n"


def _range(info: FieldInfo) -> str:
    """Write the limits of a number as a sentence, `1 to 256.` for instance; empty without limits."""
    low = next((f"{item.ge:g}" for item in info.metadata if isinstance(item, Ge)), None)
    above = next((f"{item.gt:g}" for item in info.metadata if isinstance(item, Gt)), None)
    high = next((f"{item.le:g}" for item in info.metadata if isinstance(item, Le)), None)
    below = next((f"{item.lt:g}" for item in info.metadata if isinstance(item, Lt)), None)
    start = low or (f"more than {above}" if above else None)
    end = high or (f"less than {below}" if below else None)
    if start and end:
        return f"{start} to {end}." if low and high else f"{start.capitalize()}, at most {end}."
    return f"At least {start}." if start else f"At most {end}." if end else ""
