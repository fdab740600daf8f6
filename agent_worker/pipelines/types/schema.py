"""JSON Schemas (draft 2020-12) for the types of a definition.

Declared types become `$defs`, each once, so that a schema is never larger than the declarations it is made of.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.types.shapes import (
    BUILT_IN,
    FILE,
    LIST,
    DeclaredType,
    ListType,
    ObjectType,
    Property,
    Shape,
    Types,
    UnionType,
    references,
)


def value_schema(shape: Shape, types: Types) -> JsonObject:
    """Return the schema that a value must follow, such as an input or a variable."""
    return _with_definitions(_shape(shape, is_strict=False), [shape.innermost], types, is_strict=False)


def parameters_schema(parameters: Mapping[str, Property], types: Types) -> JsonObject:
    """Return the schema of a tool's arguments: an object that takes no other properties."""
    used = [each.shape.innermost for each in parameters.values()]
    return _with_definitions(_object(parameters, is_strict=False), used, types, is_strict=False)


def response_schema(declared: ObjectType, types: Types) -> JsonObject:
    """Return the schema that a model's answer must follow, in the form that strict modes of providers take.

    Strict modes want every property in `required`, so an optional one may be null instead; `drop_absent` takes
    such nulls out again. Source: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas.
    """
    schema = {"title": declared.name, **_object(declared.properties, is_strict=True)}
    if declared.description is not None:
        schema["description"] = declared.description
    return _with_definitions(schema, references(declared), types, is_strict=True)


def drop_absent(value: JsonValue, declared: ObjectType, types: Types) -> JsonValue:
    """Return an answer without the nulls that stand for absent optional properties."""
    return _dropped(value, Shape(declared.name), {**types, declared.name: declared})


def _dropped(value: JsonValue, shape: Shape, types: Types) -> JsonValue:
    if shape.items is not None:
        return [_dropped(item, shape.items, types) for item in value] if isinstance(value, list) else value
    match types.get(shape.type):
        case ListType(items=items) if isinstance(value, list):
            return [_dropped(item, items, types) for item in value]
        case UnionType() as union if isinstance(value, Mapping):
            variant = _variant(value, union, types)
            return value if variant is None else _dropped(value, Shape(variant), types)
        case ObjectType(properties=properties) if isinstance(value, Mapping):
            return {
                name: _dropped(item, properties[name].shape, types) if name in properties else item
                for name, item in value.items()
                if not (item is None and name in properties and properties[name].optional)
            }
        case _:
            return value


def _variant(value: Mapping[str, JsonValue], union: UnionType, types: Types) -> str | None:
    for name in union.variants:
        declared = types.get(name)
        found = declared.properties.get(union.discriminator) if isinstance(declared, ObjectType) else None
        if found is not None and found.shape.const == value.get(union.discriminator):
            return name
    return None


def _with_definitions(
    schema: JsonObject, used: list[str] | tuple[str, ...], types: Types, *, is_strict: bool
) -> JsonObject:
    definitions: dict[str, JsonValue] = {}
    todo = list(used)
    while todo:
        name = todo.pop()
        if name == "file":
            definitions.setdefault(name, _object(FILE, is_strict=is_strict))
        elif name not in BUILT_IN and name in types and name not in definitions:
            definitions[name] = _declared(types[name], is_strict=is_strict)
            todo.extend(references(types[name]))
    return {**schema, "$defs": definitions} if definitions else schema


def _declared(declared: DeclaredType, *, is_strict: bool) -> JsonObject:
    described: dict[str, JsonValue] = (
        {} if declared.description is None else {"description": declared.description}
    )
    match declared:
        case ObjectType(properties=properties):
            return {**_object(properties, is_strict=is_strict), **described}
        case ListType(items=items):
            return {"type": LIST, "items": _shape(items, is_strict=is_strict), **described}
        case UnionType(variants=variants):
            return {"anyOf": [_reference(name) for name in variants], **described}


def _object(properties: Mapping[str, Property], *, is_strict: bool) -> dict[str, JsonValue]:
    schemas: dict[str, JsonValue] = {}
    for name, each in properties.items():
        schema = _shape(each.shape, is_strict=is_strict)
        may_be_null = is_strict and each.optional
        schemas[name] = {"anyOf": [schema, {"type": "null"}]} if may_be_null else schema
    required = [name for name, each in properties.items() if is_strict or not each.optional]
    return {"type": "object", "properties": schemas, "required": required, "additionalProperties": False}


def _shape(shape: Shape, *, is_strict: bool) -> dict[str, JsonValue]:
    schema: dict[str, JsonValue]
    if shape.items is not None:
        schema = {"type": LIST, "items": _shape(shape.items, is_strict=is_strict)}
    elif shape.type == "unknown":
        schema = {}
    elif shape.type in BUILT_IN and shape.type != "file":
        schema = {"type": shape.type}
    else:
        schema = _reference(shape.type)
        if is_strict and shape.description is not None:
            # OpenAI refuses a $ref that has anything beside it.
            schema = {"anyOf": [schema]}
    if shape.enum:
        schema["enum"] = list(shape.enum)
    if shape.const is not None:
        schema["const"] = shape.const
    if shape.description is not None:
        schema["description"] = shape.description
    return schema


def _reference(name: str) -> dict[str, JsonValue]:
    return {"$ref": f"#/$defs/{name}"}
