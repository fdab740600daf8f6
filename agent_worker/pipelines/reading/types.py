"""Read types: `types:`, and the type of every input, variable, parameter and form field."""

from __future__ import annotations

from agent_worker.pipelines.names import is_type
from agent_worker.pipelines.problems import Path, Problems, quoted
from agent_worker.pipelines.reading.fields import Fields, fields_of
from agent_worker.pipelines.reading.nodes import ListNode, MapNode, Node, Scalar, describe
from agent_worker.pipelines.types.shapes import (
    ANYTHING,
    BUILT_IN,
    LIST,
    DeclaredType,
    ListType,
    ObjectType,
    Property,
    Shape,
    UnionType,
    parse_shape,
)

_LEAST_VARIANTS = 2


def read_types(document: Fields) -> dict[str, DeclaredType]:
    """Read `types`."""
    found: dict[str, DeclaredType] = {}
    for name, node, path in document.entries("types"):
        if not is_type(name):
            document.problems.error(path, f"the name of a type is PascalCase; {quoted(name)} is not")
        elif name in BUILT_IN:
            document.problems.error(path, f"{name} is built in")
        declared = _read_type(name, node, path, document.problems)
        if declared is not None:
            found[name] = declared
    return found


def read_shape(fields: Fields, *, required: bool = True) -> Shape:
    """Read `type`, `description`, `enum`, `const` and `items` of a mapping that describes a value."""
    description = fields.text("description")
    shape = _typed(fields, required=required)
    enum = _enum(fields, shape)
    const = _const(fields)
    return Shape(shape.type, shape.items, description, enum, const)


def read_properties(fields: Fields, name: str) -> dict[str, Property]:
    """Read a mapping of properties, such as a tool's `parameters`."""
    found = {}
    for key, property_fields in fields.sections(name):
        found[key] = _property(property_fields)
    return found


def _property(fields: Fields) -> Property:
    shape = read_shape(fields)
    optional = fields.flag("optional")
    fields.close()
    return Property(shape, optional)


def _read_type(name: str, node: Node, path: Path, problems: Problems) -> DeclaredType | None:
    if not isinstance(node, MapNode):
        problems.error(path, f"must be a mapping of properties, here it is {describe(node)}")
        return None
    # A property may be called type or anyOf too; then a mapping stands there.
    anyof = node.entries.get("anyOf")
    kind = node.entries.get("type")
    if anyof is not None and isinstance(anyof.node, ListNode):
        return _union(name, Fields(node, path, problems))
    if kind is not None and isinstance(kind.node, Scalar):
        return _list(name, Fields(node, path, problems))
    return _object(name, node, path, problems)


def _union(name: str, fields: Fields) -> UnionType:
    variants = fields.texts("anyOf")
    if len(variants) < _LEAST_VARIANTS:
        fields.problems.error(fields.at("anyOf"), "a union has two variants or more")
    discriminator = fields.required_text("discriminator")
    declared = UnionType(name, variants, discriminator, fields.text("description"))
    fields.close()
    return declared


def _list(name: str, fields: Fields) -> ListType | None:
    shape = read_shape(fields)
    fields.close()
    if shape.items is None:
        message = (
            "a type is a mapping of properties, a union with anyOf, or a list with type: array and items"
        )
        fields.problems.error(fields.at("type"), message)
        return None
    return ListType(name, shape.items, shape.description)


def _object(name: str, node: MapNode, path: Path, problems: Problems) -> ObjectType:
    properties: dict[str, Property] = {}
    description = None
    for key, entry in node.entries.items():
        if key == "description" and isinstance(entry.node, Scalar):
            description = entry.node.text
        elif (fields := fields_of(entry.node, (*path, key), problems)) is not None:
            properties[key] = _property(fields)
    if not properties:
        problems.error(path, "a type needs a property")
    return ObjectType(name, properties, description)


def _typed(fields: Fields, *, required: bool) -> Shape:
    items = fields.node("items")
    if not required and not fields.has("type"):
        return ANYTHING
    text = fields.required_text("type")
    if text == LIST:
        return Shape(LIST, items=_items(fields, items))
    if items is not None:
        fields.problems.error(fields.at("items"), f"items belong to type: {LIST}")
    shape = parse_shape(text)
    if shape is None:
        if text:
            hint = "define a type for it, or use unknown" if text == "object" else "write T or T[]"
            fields.problems.error(fields.at("type"), f"{quoted(text)} is no type; {hint}")
        return ANYTHING
    return shape


def _items(fields: Fields, items: Node | None) -> Shape:
    match items:
        case None:
            fields.missing("items", f", because its type is {LIST}")
            return ANYTHING
        case Scalar(value=str() as text) if (shape := parse_shape(text)) is not None:
            return shape
        case _:
            inner = fields_of(items, fields.at("items"), fields.problems)
            if inner is None:
                return ANYTHING
            shape = read_shape(inner)
            inner.close()
            return shape


def _enum(fields: Fields, shape: Shape) -> tuple[str, ...]:
    enum = fields.texts("enum")
    if enum and shape.type != "string":
        fields.problems.error(fields.at("enum"), f"an enum needs type: string, here it is {shape}")
        return ()
    if not enum and fields.has("enum"):
        fields.problems.error(fields.at("enum"), "an enum lists one text or more")
    return enum


def _const(fields: Fields) -> str | int | float | bool | None:
    match fields.node("const"):
        case None:
            return None
        case Scalar(value=value):
            return value
        case other:
            fields.problems.error(fields.at("const"), f"must be a single value, here it is {describe(other)}")
            return None
