"""Lists on their way into PostgreSQL, packed in one go.

The driver looks at every element of a list to find its type, which for a batch of 1,000 outcomes costs more than the
rest of the call. A list that says its type is packed in PostgreSQL's binary form at once (`array_send` in its source:
number of dimensions, flag for nulls, type of the elements, length, lower bound; then size and bytes of each element).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import ClassVar
from uuid import UUID

from psycopg import pq
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Dumper

_HEADER = struct.Struct("!iiIii")


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


class _ArrayDumper(Dumper):
    format = pq.Format.BINARY
    element_oid: ClassVar[int]

    def dump(self, obj: list[object]) -> Buffer:
        if not obj:
            return _HEADER.pack(0, 0, self.element_oid, 0, 0)[:12]
        return _HEADER.pack(1, 0, self.element_oid, len(obj), 1) + self.elements(obj)

    def elements(self, obj: Iterable[object]) -> bytes:
        raise NotImplementedError


class _UuidArrayDumper(_ArrayDumper):
    oid = 2951
    element_oid = 2950

    def elements(self, obj: Iterable[UUID]) -> bytes:  # type: ignore[override]  # registered for this element only
        return b"".join([b"\0\0\0\x10" + item.bytes for item in obj])


class _NumberArrayDumper(_ArrayDumper):
    code: ClassVar[str]
    size: ClassVar[int]

    def elements(self, obj: list[float]) -> bytes:  # type: ignore[override]  # registered for this element only
        return struct.pack("!" + f"i{self.code}" * len(obj), *self._sized(obj))

    def _sized(self, obj: list[float]) -> Iterator[float]:
        for item in obj:
            yield self.size
            yield item


class _IntArrayDumper(_NumberArrayDumper):
    oid, element_oid, code, size = 1007, 23, "i", 4


class _BigintArrayDumper(_NumberArrayDumper):
    oid, element_oid, code, size = 1016, 20, "q", 8


class _DoubleArrayDumper(_NumberArrayDumper):
    oid, element_oid, code, size = 1022, 701, "d", 8


class _TextArrayDumper(_ArrayDumper):
    oid = 1009
    element_oid = 25

    def elements(self, obj: Iterable[str]) -> bytes:  # type: ignore[override]  # registered for this element only
        pack = struct.Struct("!i").pack
        encoded = [item.encode() for item in obj]
        return b"".join([part for item in encoded for part in (pack(len(item)), item)])


_DUMPERS: dict[type[list[object]], type[_ArrayDumper]] = {
    UuidArray: _UuidArrayDumper,  # type: ignore[dict-item]  # lists are invariant
    IntArray: _IntArrayDumper,  # type: ignore[dict-item]
    BigintArray: _BigintArrayDumper,  # type: ignore[dict-item]
    DoubleArray: _DoubleArrayDumper,  # type: ignore[dict-item]
    TextArray: _TextArrayDumper,  # type: ignore[dict-item]
}


def register(context: AdaptContext) -> None:
    """Teach a connection these lists."""
    for cls, dumper in _DUMPERS.items():
        context.adapters.register_dumper(cls, dumper)
