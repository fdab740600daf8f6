"""Lists on their way into PostgreSQL, packed in one go.

The driver looks at every element of a list to find its type, which for a batch of 1,000 outcomes costs more than the
rest of the call. A list that says its type is packed in PostgreSQL's binary form at once (`array_send` in its source:
number of dimensions, flag for nulls, type of the elements, length, lower bound; then size and bytes of each element).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from psycopg import pq
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper

Element = TypeVar("Element")

_HEADER = struct.Struct("!iiIii")
_HEADER_OF_NOTHING = struct.Struct("!iiI")
_SIZE = struct.Struct("!i")


class UuidArray(list[UUID]):
    """A `uuid[]`."""


class IntArray(list[int]):
    """An `integer[]`."""


class BigintArray(list[int]):
    """A `bigint[]`."""


class DoubleArray(list[float]):
    """A `double precision[]`."""


class TextArray(list[str]):
    """A `text[]`."""


def register(context: AdaptContext) -> None:
    """Teach a connection these lists."""
    # The numbers are those of pg_type: of the array, and of its elements.
    dumpers: dict[type, type[Dumper]] = {
        UuidArray: _dumper(2951, 2950, _pack_uuids),
        IntArray: _dumper(1007, 23, _pack_numbers("i", 4)),
        BigintArray: _dumper(1016, 20, _pack_numbers("q", 8)),
        DoubleArray: _dumper(1022, 701, _pack_numbers("d", 8)),
        TextArray: _dumper(1009, 25, _pack_texts),
    }
    for cls, dumper in dumpers.items():
        context.adapters.register_dumper(cls, dumper)


def _dumper(array_oid: int, element_oid: int, pack: Callable[[list[Element]], bytes]) -> type[Dumper]:
    """Return a dumper for lists whose elements, of which there is at least one, `pack` turns into sizes and bytes."""

    class ArrayDumper(Dumper):
        oid = array_oid
        format = pq.Format.BINARY

        def dump(self, obj: list[Element]) -> bytes:
            if not obj:
                return _HEADER_OF_NOTHING.pack(0, 0, element_oid)
            return _HEADER.pack(1, 0, element_oid, len(obj), 1) + pack(obj)

    return ArrayDumper


def _pack_uuids(items: list[UUID]) -> bytes:
    size = _SIZE.pack(16)
    return size + size.join([item.bytes for item in items])


def _pack_numbers(code: str, size: int) -> Callable[[list[float]], bytes]:
    """Return the function for numbers of `size` bytes, which `struct` knows as `code`."""

    def pack(items: list[float]) -> bytes:
        # One call of struct for the whole list takes half the time of one for each number.
        sizes_and_items: list[float] = [size] * (2 * len(items))
        sizes_and_items[1::2] = items
        return struct.pack("!" + f"i{code}" * len(items), *sizes_and_items)

    return pack


def _pack_texts(items: list[str]) -> bytes:
    pack_size = _SIZE.pack
    return b"".join([pack_size(len(encoded)) + encoded for encoded in [item.encode() for item in items]])
