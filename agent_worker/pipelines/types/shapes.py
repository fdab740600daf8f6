"""What values look like: the built-in types, lists of them, and the types that a definition declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from agent_worker.domain.json import JsonValue

BUILT_IN = ("string", "number", "integer", "boolean", "unknown", "file")
"""Types that need no declaration. `file` is a reference to an uploaded file, `unknown` any JSON value."""

LIST = "array"
"""The type of a shape that has items; written `T[]`, or `type: array` with `items`."""

_SUFFIX = "[]"


@dataclass(frozen=True, slots=True)
class Shape:
    """The type of one value.

    Attributes:
        type: A built-in type, `array`, or the name of a declared type.
        items: Of an `array`, what each item is; None otherwise.
        description: For people and models.
        enum: The only texts allowed; empty when any is.
        const: The only value allowed; None when any is.
    """

    type: str
    items: Shape | None = None
    description: str | None = None
    enum: tuple[str, ...] = ()
    const: str | int | float | bool | None = None

    @property
    def innermost(self) -> str:
        """The type of what is inside all lists."""
        shape = self
        while shape.items is not None:
            shape = shape.items
        return shape.type

    def __str__(self) -> str:
        return self.type if self.items is None else f"{self.items}{_SUFFIX}"


ANYTHING = Shape("unknown")


@dataclass(frozen=True, slots=True)
class Property:
    """A field of an object type, or a parameter of a tool."""

    shape: Shape
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ObjectType:
    """An object with these properties and no others."""

    name: str
    properties: Mapping[str, Property]
    description: str | None = None


@dataclass(frozen=True, slots=True)
class ListType:
    """A list under a name of its own."""

    name: str
    items: Shape
    description: str | None = None


@dataclass(frozen=True, slots=True)
class UnionType:
    """One of several object types, told apart by the constant in their discriminator."""

    name: str
    variants: tuple[str, ...]
    discriminator: str
    description: str | None = None


DeclaredType: TypeAlias = ObjectType | ListType | UnionType
Types: TypeAlias = Mapping[str, DeclaredType]

FILE: Mapping[str, Property] = MappingProxyType(
    {
        "id": Property(Shape("string")),
        "mediaType": Property(Shape("string", description="Such as image/png.")),
        "url": Property(Shape("string")),
        "filename": Property(Shape("string"), optional=True),
        "size": Property(Shape("integer", description="Bytes."), optional=True),
        "width": Property(Shape("integer", description="Pixels."), optional=True),
        "height": Property(Shape("integer", description="Pixels."), optional=True),
    }
)
"""The properties of a `file`."""


def parse_shape(text: str) -> Shape | None:
    """Read `T` or `T[]`; None when the text is neither. Whether T exists is not asked."""
    name = text.removesuffix(_SUFFIX)
    if not name or _SUFFIX[0] in name or _SUFFIX[1] in name:
        return None
    return Shape(LIST, items=Shape(name)) if text.endswith(_SUFFIX) else Shape(name)


def references(declared: DeclaredType) -> tuple[str, ...]:
    """Return the types that a declared type is made of, built-in ones included."""
    match declared:
        case ObjectType(properties=properties):
            return tuple(each.shape.innermost for each in properties.values())
        case ListType(items=items):
            return (items.innermost,)
        case UnionType(variants=variants):
            return variants


def constant(declared: ObjectType, discriminator: str) -> JsonValue:
    """Return the constant of an object type's discriminator, or None."""
    found = declared.properties.get(discriminator)
    return None if found is None else found.shape.const
