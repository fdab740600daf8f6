"""Types: that each exists, contains itself nowhere, and that unions can be told apart."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from agent_worker.pipelines.checks.uses import shapes
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.problems import Path, Problems, quoted
from agent_worker.pipelines.types.inputs import check_value
from agent_worker.pipelines.types.shapes import (
    BUILT_IN,
    DeclaredType,
    ListType,
    ObjectType,
    Types,
    UnionType,
    constant,
    references,
)


def check_types(definition: Definition, problems: Problems) -> None:
    """Check every type that is declared or used."""
    types = definition.types
    for path, shape in shapes(definition):
        _check_exists(shape.innermost, path, types.keys(), problems)
    for name, declared in types.items():
        for path, inner in _parts(declared):
            _check_exists(inner, ("types", name, *path), types.keys(), problems)
        if isinstance(declared, UnionType):
            _check_union(declared, types, problems)
    cycles = list(_cycles(types))
    for names in cycles:
        message = f"the type contains itself: {' → '.join(names[:6])}"
        problems.error(("types", names[0]), message)
    if not problems.has_errors:
        _check_defaults(definition, problems)


def _parts(declared: DeclaredType) -> Iterator[tuple[Path, str]]:
    match declared:
        case ObjectType(properties=properties):
            for name, each in properties.items():
                yield (name, "type"), each.shape.innermost
        case ListType(items=items):
            yield ("items",), items.innermost
        case UnionType():
            return  # told apart from other mistakes in _check_union


def _check_exists(name: str, path: Path, declared: Collection[str], problems: Problems) -> None:
    if name in BUILT_IN or name in declared:
        return
    if name == "object":
        problems.error(path, "there is no type object; define one under types, or use unknown")
        return
    problems.unknown(path, "type", name, [*BUILT_IN, *declared])


def _check_union(union: UnionType, types: Types, problems: Problems) -> None:
    seen: dict[str, str] = {}
    for index, name in enumerate(union.variants):
        path = ("types", union.name, "anyOf", index)
        variant = types.get(name)
        if variant is None:
            problems.unknown(path, "type", name, types.keys())
        elif not isinstance(variant, ObjectType):
            problems.error(path, f"{quoted(name)} is no object type, so it cannot be a variant")
        elif union.discriminator:
            value = constant(variant, union.discriminator)
            if value is None:
                problems.error(
                    path, f"{quoted(name)} has no const at its property {quoted(union.discriminator)}"
                )
            elif (text := repr(value)) in seen:
                message = (
                    f"{quoted(name)} has the same const as {quoted(seen[text])}; each variant needs its own"
                )
                problems.error(path, message)
            else:
                seen[text] = name


def _cycles(types: Types) -> Iterator[list[str]]:
    """Yield types that contain themselves, each circle once, without recursion."""
    done: set[str] = set()
    for start in types:
        path: dict[str, Iterator[str]] = {}
        if start not in done:
            path[start] = iter(references(types[start]))
        while path:
            name = next(reversed(path))
            inner = next(path[name], None)
            if inner is None:
                done.add(name)
                del path[name]
            elif inner in path:
                names = list(path)
                yield [*names[names.index(inner) :], inner]
            elif inner in types and inner not in done:
                path[inner] = iter(references(types[inner]))


def _check_defaults(definition: Definition, problems: Problems) -> None:
    """Warn of defaults that do not fit; they are used all the same, as documented files rely on it."""
    for section, declared in (
        ("input", definition.inputs),
        ("variables", definition.variables),
        ("resources", definition.resources),
    ):
        for name, each in declared.items():
            if each.has_default and each.default is not None:
                found = check_value(each.default, each.shape, definition.types, path="the default")
                for mismatch in found[:1]:
                    problems.warning((section, name, "default"), str(mismatch))
