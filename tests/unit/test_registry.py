"""Processors are found in the package, and in scripts."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from pydantic_settings import BaseSettings

from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.json import JsonObject
from agent_worker.domain.processor import TaskContext
from agent_worker.domain.task import Task
from agent_worker.registry import build_processors, payload_schemas, process_builders, processor_classes

SHOUT = """
from pydantic_settings import BaseSettings, SettingsConfigDict

class ShoutSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SHOUT_")
    mark: str = "!"

class Shout:
    kind = "shout"
    def __init__(self, settings: ShoutSettings) -> None:
        self.mark = settings.mark
    async def process(self, task, ctx):
        return {"answer": task.request_payload["prompt"].upper() + self.mark}

class NoKind:
    async def process(self, task, ctx):
        return {}

class WantsMore:
    kind = "more"
    def __init__(self, a, b): ...
    async def process(self, task, ctx):
        return {}

class Forgetful(NoKind):
    kind = "forgetful"
    async def process(self, task):
        return {}

class Fragile(NoKind):
    kind = "fragile"
    def __init__(self):
        raise KeyError("no")

class Nameless(NoKind):
    kind = ""

class Hurried(NoKind):
    kind = "hurried"
    timeout_s = -5
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "shout.py"
    path.write_text(SHOUT)
    return path


def test_built_in_processors_are_found() -> None:
    assert {"chat", "echo"} <= set(processor_classes())


def test_a_script_brings_a_processor_with_its_own_settings(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOUT_MARK", "?!")
    (processor,) = build_processors([f"{script}:Shout"], kinds=["shout"]).values()
    assert processor.mark == "?!"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("{}:Missing", "has no class Missing · processors in it: Shout"),
        ("{}:NoKind", "is no processor"),
        ("{}:WantsMore", "cannot be made"),
        ("nowhere.py:X", "names no file · there is no nowhere.py here"),
        ("{}:Forgetful", r"its process takes \(self, task\) · it must take \(self, task, ctx\)"),
        ("{}:Nameless", "has the kind '' · a kind has 1 to 64 printable characters"),
        ("{}:Hurried", "has timeout_s = -5 · it is in seconds"),
        ("{}:Fragile", r"Fragile cannot be made · KeyError: 'no' · mend line 33 of it"),
        ("{}", "names no class in a file"),
    ],
)
def test_a_script_that_brings_none_is_refused_with_the_reason(
    script: Path, reference: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        build_processors([reference.format(script)])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name' · mend line 1 of it"),
        ("x = 1\ndef broken(:", "SyntaxError: .* · mend line 2 of it"),
        ("\nraise RuntimeError('no key')", "RuntimeError: no key · mend line 2 of it"),
        ("import sys\nsys.exit(7)", "SystemExit: 7 · mend line 2 of it"),
    ],
)
def test_a_script_that_does_not_load_says_why_and_where(tmp_path: Path, source: str, reason: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(source)
    with pytest.raises(ConfigurationError, match=f"broken.py cannot be loaded · .*{reason}"):
        build_processors([f"{path}:X"])


def test_a_kind_that_nobody_has_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigurationError, match="no processor has the kind ehco · known kinds: chat, echo, pipeline"
    ):
        build_processors(kinds=["ehco"])


def test_settings_of_a_processor_are_a_settings_class() -> None:
    for cls in processor_classes().values():
        processor = build_processors(kinds=[cls.kind])[cls.kind]
        assert not isinstance(processor, BaseSettings)


HEAVY = """
class Heavy:
    kind = "heavy"
    runs_in = {runs_in!r}
    {form} process(self, task, ctx):
        return {{}}

class Second(Heavy):
    kind = "second"

def inside():
    class Hidden(Heavy):
        kind = "hidden"
    return Hidden

Found = inside()
"""


@pytest.mark.parametrize(
    ("runs_in", "form", "problem"),
    [
        ("proces", "def", r"Heavy has runs_in = 'proces' · it may be 'thread' or 'process'"),
        (True, "def", "Heavy has runs_in = True"),
        ("process", "async def", "Heavy has runs_in = 'process' and an async process"),
        ("thread", "async def", "Heavy has runs_in = 'thread' and an async process"),
    ],
)
def test_a_wrong_wish_for_a_thread_or_process_is_refused_by_name(
    tmp_path: Path, runs_in: object, form: str, problem: str
) -> None:
    path = tmp_path / "heavy.py"
    path.write_text(HEAVY.format(runs_in=runs_in, form=form))
    with pytest.raises(ConfigurationError, match=problem):
        processor_classes([f"{path}:Heavy"])


def test_processors_of_one_script_that_ask_for_a_process_can_be_made_in_one(tmp_path: Path) -> None:
    path = tmp_path / "heavy.py"
    path.write_text(HEAVY.format(runs_in="process", form="def"))
    processors = build_processors([f"{path}:Heavy", f"{path}:Second"])
    builders = process_builders(processors)
    assert set(builders) == {"heavy", "second"}
    made = pickle.loads(pickle.dumps(builders["second"]))()  # noqa: S301 - our own
    assert type(made) is type(processors["second"])


def test_a_class_that_a_process_would_not_find_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "heavy.py"
    path.write_text(HEAVY.format(runs_in="process", form="def"))
    with pytest.raises(ConfigurationError, match=r"inside\.<locals>\.Hidden cannot run in a process"):
        process_builders(build_processors([f"{path}:Found"]))


def test_a_processor_describes_its_payload_by_a_model_or_a_schema() -> None:
    class Order(BaseModel):
        seats: int

    class Reserve:
        kind = "reserve"
        payload_schema = Order

        async def process(self, task: Task, ctx: TaskContext) -> JsonObject:
            return {}

    schemas = payload_schemas({**build_processors(kinds=["chat", "echo"]), "reserve": Reserve()})

    assert schemas["reserve"]["required"] == ["seats"]
    assert schemas["echo"]["required"] == ["prompt"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("declared", ["string", 7, ["list"], object(), {"type": {1, 2}}], ids=range(5))
def test_a_payload_schema_that_describes_nothing_is_refused(declared: object) -> None:
    class Odd:
        kind = "odd"
        payload_schema = declared

        async def process(self, task: Task, ctx: TaskContext) -> JsonObject:
            return {}

    with pytest.raises(ConfigurationError, match="the payload_schema of Odd describes nothing"):
        payload_schemas({"odd": Odd()})


def test_a_processor_that_says_nothing_of_its_payload_has_no_schema() -> None:
    class Plain:
        kind = "plain"

        async def process(self, task: Task, ctx: TaskContext) -> JsonObject:
            return {}

    assert payload_schemas({"plain": Plain()}) == {}
