"""How what a task says becomes rows and broadcasts."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from agent_worker.domain.events import Event
from agent_worker.domain.task import Lease
from agent_worker.worker.streams import (
    FIRST_DELAY_S,
    HOLD_BYTES,
    HOLD_S,
    SOFT_DELAY_S,
    STREAMS,
    BroadcastStream,
    RowStream,
    Stream,
)

LEASE = Lease(uuid4(), 1, uuid4())
TOOL = Event("tool-input-available", {"toolName": "search"})


def now() -> float:
    return time.monotonic()


def text(events: list[Event]) -> str:
    return "".join(str(event.data["delta"]) for event in events if event.type == "text-delta")


def test_the_first_text_of_an_attempt_hardly_waits_and_the_rest_waits_for_company() -> None:
    for make in STREAMS.values():
        stream = make(0)
        assert stream.emit(Event("text-start", {"id": "a"})) == SOFT_DELAY_S
        assert stream.emit_text("a", "one", None) == FIRST_DELAY_S
        assert stream.emit_text("a", " two", None) == SOFT_DELAY_S


def test_rows_hold_nothing_back() -> None:
    stream = RowStream(4)
    stream.emit_text("a", "Hel", None)
    stream.emit_text("a", "lo", None)
    stream.emit(TOOL)
    said, deltas = stream.take(LEASE, by=now())
    assert [(each.seq, each.event.type) for each in said] == [(5, "text-delta"), (6, TOOL.type)]
    assert (text([each.event for each in said]), deltas, stream.due) == ("Hello", [], None)


def test_text_is_broadcast_in_parts_of_the_row_to_come() -> None:
    stream = BroadcastStream(4)
    stream.emit(Event("text-start", {"id": "a"}))
    parts = []
    for piece in ("Hel", "lo", "!"):
        stream.emit_text("a", piece, None)
        parts.append(stream.take(LEASE, by=now()))
    assert [[said.seq for said in rows] for rows, _ in parts] == [[5], [], []]
    assert [(delta.seq, delta.part, text(list(delta.events))) for _, (delta,) in parts] == [
        (6, 0, "Hel"),
        (6, 1, "lo"),
        (6, 2, "!"),
    ]

    (row,), deltas = stream.take(LEASE, by=now() + HOLD_S)

    assert (row.seq, text([row.event]), deltas, stream.due) == (6, "Hello!", [], None)
    stream.emit_text("a", "Next", None)
    _, (delta,) = stream.take(LEASE, by=now())
    assert (delta.seq, delta.part) == (7, 0)


def test_another_event_writes_the_text_before_it_at_once() -> None:
    stream = BroadcastStream(0)
    stream.emit_text("a", "Hel", None)
    stream.take(LEASE, by=now())
    stream.emit_text("a", "lo", None)
    stream.emit(TOOL)
    said, deltas = stream.take(LEASE, by=now())
    assert [(each.seq, each.event.type) for each in said] == [(1, "text-delta"), (2, TOOL.type)]
    assert text([each.event for each in said]) == "Hello"
    assert (deltas, stream.due) == ([], None), "the row says what was not sent yet"


def test_a_row_is_full_at_16_kib() -> None:
    stream = BroadcastStream(0)
    for _ in range(HOLD_BYTES // 1024):
        stream.emit_text("a", "x" * 1024, None)
    assert stream.due is None
    stream.emit_text("a", "y", None)
    said, (delta,) = stream.take(LEASE, by=now())
    assert [len(text([each.event])) for each in said] == [HOLD_BYTES]
    assert (delta.seq, delta.part, text(list(delta.events))) == (2, 0, "y")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("text"), st.sampled_from("ab"), st.text(min_size=1, max_size=6000)),
        st.tuples(st.just("event"), st.just(""), st.just("")),
        st.tuples(st.just("take"), st.just(""), st.just("")),
        st.tuples(st.just("second"), st.just(""), st.just("")),
    ),
    max_size=40,
)


@given(STEPS)
def test_rows_say_everything_in_order_and_parts_only_what_their_row_says(
    steps: list[tuple[str, str, str]],
) -> None:
    spoken: dict[str, str] = {}
    for mode, make in STREAMS.items():
        stream, rows, parts = make(0), {}, defaultdict(list)
        clock = now()
        for what, text_id, delta in [*steps, ("end", "", "")]:
            match what:
                case "text":
                    stream.emit_text(text_id, delta, None)
                case "event":
                    stream.emit(TOOL)
                case _:
                    clock += {"second": HOLD_S + 1, "end": math.inf}.get(what, 0)
                    _collect(stream, clock, rows, parts)
        assert list(rows) == list(range(1, len(rows) + 1))
        spoken[mode] = "".join(_words(row) for row in rows.values())
        for seq, pieces in parts.items():
            assert [part for part, _ in pieces] == list(range(len(pieces)))
            assert text([rows[seq]]).startswith("".join(piece for _, piece in pieces))
    assert spoken["changes"] == spoken["broadcast"]


def _collect(
    stream: Stream, clock: float, rows: dict[int, Event], parts: dict[int, list[tuple[int, str]]]
) -> None:
    said, deltas = stream.take(LEASE, by=clock)
    rows.update({each.seq: each.event for each in said})
    for delta in deltas:
        assert delta.seq not in rows
        parts[delta.seq].append((delta.part, text(list(delta.events))))


def _words(row: Event) -> str:
    return f"[{row.type}]" if row is TOOL else str(row.data["delta"])
