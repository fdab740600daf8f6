"""Find processors: built-in ones, plug-ins, and classes in a script.

Built-ins are the classes with a `kind` in `agent_worker/processors/`; plug-ins are announced by the entry-point group
`agent_worker.processors`; a script is named on the command line as `path/to/file.py:Class`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import math
import operator
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeAlias, TypeGuard

from pydantic import BaseModel
from pydantic_settings import BaseSettings

from agent_worker import processors as built_in
from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.json import JsonObject, dump_json
from agent_worker.domain.processor import PROCESS, THREAD, Processor
from agent_worker.settings import read

ENTRY_POINTS = "agent_worker.processors"
SCRIPT_PREFIX = "agent_worker_script_"
MAX_KIND_LENGTH = 64
"""As the table has it."""

ProcessorClass: TypeAlias = type[Processor]


def processor_classes(scripts: Sequence[str] = ()) -> dict[str, ProcessorClass]:
    """Return every processor's class by kind; a script's beats a plug-in's beats a built-in's.

    Args:
        scripts: Classes in files, each `path/to/file.py:Class`.

    Raises:
        ConfigurationError: A plug-in or a script cannot be loaded, or is no processor.
    """
    found: dict[str, ProcessorClass] = {}
    for cls in (*_built_in(), *_plug_ins(), *map(_from_script, scripts)):
        _check_runs_in(cls)
        found[cls.kind] = cls
    return found


def build_processors(scripts: Sequence[str] = (), *, kinds: Sequence[str] = ()) -> dict[str, Processor]:
    """Return an instance of every processor, or of those of the given kinds.

    Raises:
        ConfigurationError: As `processor_classes`, or a kind in `kinds` that no processor has.
    """
    classes = processor_classes(scripts)
    if unknown := [kind for kind in kinds if kind not in classes]:
        raise ConfigurationError(
            f"no processor has the kind {', '.join(unknown)} · known kinds: {', '.join(sorted(classes))} · "
            "name a script with --processor file.py:Class, or install the package that brings it"
        )
    return {kind: _instance(classes[kind]) for kind in kinds or classes}


def process_builders(processors: Mapping[str, Processor]) -> dict[str, Callable[[], Processor]]:
    """Return, by kind, how a process makes each processor that asks for one. The functions can be pickled.

    Raises:
        ConfigurationError: A process could not find the class.
    """
    asking = {kind: type(made) for kind, made in processors.items() if _runs_in(type(made)) == PROCESS}
    return {kind: _builder(cls) for kind, cls in asking.items()}


def payload_schemas(processors: Mapping[str, Processor]) -> dict[str, JsonObject]:
    """Return, by kind, the JSON Schema of the request payload of each processor that describes it.

    Raises:
        ConfigurationError: A `payload_schema` is neither a pydantic model nor a JSON Schema that is a JSON object.
    """
    found = {kind: _payload_schema(made) for kind, made in processors.items()}
    return {kind: schema for kind, schema in found.items() if schema is not None}


def build_by_name(module: str, qualname: str, script: str | None) -> Processor:
    """Make a processor from the names of its module and class; `script` is the file of a module that is one.

    Raises:
        ConfigurationError: A script cannot be loaded, or a setting is missing.
    """
    loaded = importlib.import_module(module) if script is None else _load_file(Path(script))
    return _instance(operator.attrgetter(qualname)(loaded))


def settings_class(cls: ProcessorClass) -> type[BaseSettings] | None:
    """Return the pydantic-settings class that a processor's `__init__` takes, or None when it takes nothing."""
    if cls.__init__ is object.__init__:
        return None
    signature = inspect.signature(cls.__init__, eval_str=True)
    parameters = [parameter for name, parameter in signature.parameters.items() if name != "self"]
    if not parameters:
        return None
    annotation = parameters[0].annotation
    if len(parameters) > 1 or not (inspect.isclass(annotation) and issubclass(annotation, BaseSettings)):
        raise ConfigurationError(
            f"{cls.__module__}.{cls.__name__} cannot be made · a processor's __init__ takes nothing, or one argument "
            "annotated with a pydantic-settings class"
        )
    return annotation


def _payload_schema(processor: Processor) -> JsonObject | None:
    declared = getattr(processor, "payload_schema", None)  # an optional attribute of the plug-in contract
    if declared is None:
        return None
    if inspect.isclass(declared) and issubclass(declared, BaseModel):
        return declared.model_json_schema()
    try:
        schema = json.loads(dump_json(declared))
    except (TypeError, ValueError):
        schema = None
    if not isinstance(schema, dict):
        raise ConfigurationError(
            f"the payload_schema of {type(processor).__name__} describes nothing · it is a pydantic model, or a JSON Schema "
            "as a dict"
        )
    return schema


def _instance(cls: ProcessorClass) -> Processor:
    settings = settings_class(cls)
    make: Callable[..., Processor] = cls
    arguments = () if settings is None else (read(settings),)
    try:
        return make(*arguments)
    except ConfigurationError:
        raise
    except (Exception, SystemExit) as exc:
        file = sys.modules[cls.__module__].__file__ or ""
        raise ConfigurationError(
            f"{_name(cls)} cannot be made · {_reason(exc)} · mend {_where(exc, file, Path(file))}"
        ) from exc


def _builder(cls: ProcessorClass) -> Callable[[], Processor]:
    module = sys.modules[cls.__module__]
    try:
        found = operator.attrgetter(cls.__qualname__)(module)
    except AttributeError:
        found = None
    if found is not cls:
        raise ConfigurationError(
            f"{_name(cls)} cannot run in a process · a process would not find it by this name · put the class at the "
            "top level of its module, and give each script a file name of its own"
        )
    script = module.__file__ if cls.__module__.startswith(SCRIPT_PREFIX) else None
    return functools.partial(build_by_name, cls.__module__, cls.__qualname__, script)


def _runs_in(cls: type) -> object:
    return getattr(cls, "runs_in", None)  # an optional attribute of the plug-in contract


def _check_runs_in(cls: ProcessorClass) -> None:
    runs_in = _runs_in(cls)
    if runs_in is None:
        return
    if runs_in not in {THREAD, PROCESS}:
        raise ConfigurationError(
            f"{_name(cls)} has runs_in = {runs_in!r} · it may be {THREAD!r} or {PROCESS!r} · correct or remove it"
        )
    if inspect.iscoroutinefunction(cls.process):
        raise ConfigurationError(
            f"{_name(cls)} has runs_in = {runs_in!r} and an async process · a coroutine runs in the event loop · "
            "make process a plain def, or remove runs_in"
        )


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _built_in() -> Iterator[ProcessorClass]:
    for module_info in pkgutil.iter_modules(built_in.__path__):
        if not module_info.name.startswith("_"):  # a processor's own helper
            yield from _classes_of(importlib.import_module(f"{built_in.__name__}.{module_info.name}"))


def _plug_ins() -> Iterator[ProcessorClass]:
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            cls = entry_point.load()
        except (Exception, SystemExit) as exc:
            raise ConfigurationError(
                f"the plug-in {entry_point.name} ({entry_point.value}) cannot be loaded · {_reason(exc)} · "
                "mend or uninstall its package"
            ) from exc
        yield _checked(cls, entry_point.value)


def _from_script(reference: str) -> ProcessorClass:
    path_text, _, name = reference.rpartition(":")
    path = Path(path_text)
    if not path_text or not name:
        raise ConfigurationError(
            f"--processor {reference} names no class in a file · it should look like ./shout.py:Shout"
        )
    if not path.is_file():
        raise ConfigurationError(
            f"--processor {reference} names no file · there is no {path} here · look for it from {Path.cwd()}"
        )
    module = _load_file(path)
    if not hasattr(module, name):
        names = ", ".join(cls.__name__ for cls in _classes_of(module)) or "none"
        raise ConfigurationError(f"{path} has no class {name} · processors in it: {names}")
    return _checked(getattr(module, name), reference)


def _load_file(path: Path) -> ModuleType:
    file, name = str(path.resolve()), f"{SCRIPT_PREFIX}{path.stem}"
    if (known := sys.modules.get(name)) is not None and known.__file__ == file:
        return known  # several processors of one script share its module, as those of a package do
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} is no Python file · name one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pydantic look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:
        del sys.modules[spec.name]
        raise ConfigurationError(
            f"{path} cannot be loaded · {_reason(exc)} · mend {_where(exc, file, path)}"
        ) from exc
    return module


def _reason(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__


def _where(exc: BaseException, file: str, path: Path) -> str:
    """Name the line of a script at which it broke, as far as it is known."""
    if isinstance(exc, SyntaxError) and exc.filename == file:
        return f"line {exc.lineno} of it" if exc.lineno else str(path)
    lines = [frame.lineno for frame in traceback.extract_tb(exc.__traceback__) if frame.filename == file]
    return f"line {lines[-1]} of it" if lines else str(path)


def _classes_of(module: ModuleType) -> Iterator[ProcessorClass]:
    for cls in vars(module).values():
        if inspect.isclass(cls) and cls.__module__ == module.__name__ and _is_processor(cls):
            yield cls


def _is_processor(cls: type) -> TypeGuard[ProcessorClass]:
    return isinstance(getattr(cls, "kind", None), str) and callable(getattr(cls, "process", None))


def _checked(cls: object, source: str) -> ProcessorClass:
    if not inspect.isclass(cls) or not _is_processor(cls):
        raise ConfigurationError(
            f"{source} is no processor · it needs a class attribute kind: str and a method process(task, ctx)"
        )
    _check_shape(cls, source)
    return cls


def _check_shape(cls: ProcessorClass, source: str) -> None:
    """Refuse what would fail every task, or offer what no task can have."""
    if not 1 <= len(cls.kind) <= MAX_KIND_LENGTH or not cls.kind.isprintable():
        raise ConfigurationError(
            f"{source} has the kind {cls.kind!r} · a kind has 1 to {MAX_KIND_LENGTH} printable characters · rename it"
        )
    process = inspect.getattr_static(cls, "process")
    if inspect.isfunction(process):
        try:
            inspect.signature(process).bind(None, None, None)
        except TypeError as exc:
            raise ConfigurationError(
                f"{source} cannot be called · its process takes {inspect.signature(process)} · it must take (self, task, ctx)"
            ) from exc
    timeout_s = getattr(cls, "timeout_s", None)  # an optional attribute of the plug-in contract
    if inspect.isdatadescriptor(timeout_s) or timeout_s is None:
        return
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not 0 < timeout_s < math.inf:
        raise ConfigurationError(
            f"{source} has timeout_s = {timeout_s!r} · it is in seconds · give a number above 0"
        )
