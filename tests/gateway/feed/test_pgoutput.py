"""Reading messages of the log: nothing that arrives breaks more than its session."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_worker.db.feed.pgoutput import Decoder, FeedCorrupt, Relation

RELATION = (
    b"R" + struct.pack(">I", 7) + b"public\0notes\0d" + struct.pack(">h", 2)
    + b"\x01id\0" + struct.pack(">Ii", 23, -1) + b"\x00body\0" + struct.pack(">Ii", 25, -1)
)  # fmt: skip


def text(value: str) -> bytes:
    return b"t" + struct.pack(">I", len(value.encode())) + value.encode()


def decoder(*, wanted: bool = True) -> Decoder:
    made = Decoder(lambda _: wanted)
    made.decode(RELATION)
    return made


def row(kind: bytes, *parts: bytes) -> bytes:
    return kind + struct.pack(">I", 7) + b"".join(parts)


def test_an_update_that_left_a_long_value_alone_has_no_value_for_it() -> None:
    change = decoder().decode(row(b"U", b"N", struct.pack(">h", 2), text("1"), b"u"))
    assert change is not None
    assert (change.kind, change.new, change.old) == ("UPDATE", {"id": "1"}, None)


def test_of_a_changed_key_only_the_key_is_known() -> None:
    change = decoder().decode(
        row(b"U", b"K", struct.pack(">h", 2), text("1"), b"n", b"N", struct.pack(">h", 2), text("2"), b"n")
    )
    assert change is not None
    assert (change.old, change.new) == ({"id": "1"}, {"id": "2", "body": None})


def test_rows_that_nobody_wants_are_not_read() -> None:
    assert decoder(wanted=False).decode(row(b"I", b"N", b"garbage")) is None


def test_a_row_of_an_unknown_table_is_an_error() -> None:
    with pytest.raises(FeedCorrupt, match="never described"):
        Decoder(lambda _: True).decode(row(b"I", b"N"))


@given(
    st.sampled_from([b"I", b"U", b"D", b"B", b"R", b"C", b"Y", b"T", b"O", b"M", b""]), st.binary(max_size=60)
)
def test_whatever_arrives_is_a_row_or_nothing_or_a_corrupt_feed(tag: bytes, rest: bytes) -> None:
    for message in (tag + rest, tag + struct.pack(">I", 7) + rest):
        with contextlib.suppress(FeedCorrupt):
            change = decoder().decode(message)
            assert change is None or isinstance(change.relation, Relation)
