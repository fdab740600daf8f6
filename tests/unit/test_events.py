"""The event vocabulary and the joining of streamed text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_worker.domain import events as ev
from agent_worker.domain.events import DeltaBuffer, Event, visible_events


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.text(min_size=1), st.sampled_from([None, "s"]))))
def test_joined_deltas_say_the_same_in_the_same_order(deltas: list[tuple[str, str, str | None]]) -> None:
    buffer = DeltaBuffer(max_bytes=16)
    said = [
        event for text_id, delta, step in deltas for event in buffer.add(text_id, delta, step)
    ] + buffer.take()
    joined: list[tuple[object, object, str]] = []
    for text_id, delta, step in deltas:
        if joined and joined[-1][:2] == (text_id, step):
            joined[-1] = (text_id, step, joined[-1][2] + delta)
        else:
            joined.append((text_id, step, delta))
    heard: list[tuple[object, object, str]] = []
    for event in said:
        key = (event.data["id"], event.data.get("step"))
        if heard and heard[-1][:2] == key:
            heard[-1] = (*key, heard[-1][2] + str(event.data["delta"]))
        else:
            heard.append((*key, str(event.data["delta"])))
    assert heard == joined


def test_a_full_buffer_is_due_at_once() -> None:
    buffer = DeltaBuffer(max_bytes=4)
    assert buffer.add("t", "abc") == []
    assert buffer.add("t", "d") == [ev.text_delta("t", "abcd")]
    assert buffer.take() == []


def test_a_new_attempt_hides_what_earlier_ones_said_except_finished_steps() -> None:
    rows = [
        ("attempt-start", {"attempt": 1, "resume": "fresh", "keep": []}),
        ("text-delta", {"id": "t", "delta": "draft"}),
        ("seat-reserved", {"seat": "12A", "step": "reserve"}),
        ("seat-priced", {"step": "price"}),
        ("attempt-failed", {"attempt": 1}),
        ("attempt-start", {"attempt": 2, "resume": "retry", "keep": ["reserve"]}),
        ("text-delta", {"id": "t", "delta": "final"}),
    ]
    assert visible_events(rows) == [rows[2], rows[6]]


@pytest.mark.parametrize("kind", ["", "Text", "a b", "a_b", "-a", "a" * 65])
def test_an_event_type_has_one_shape(kind: str) -> None:
    with pytest.raises(ValueError, match="event type"):
        Event(kind, {})


def test_an_error_event_tells_stream_clients_the_class_of_a_code() -> None:
    data = ev.error(code="rate_limited", message="Slow down.", retryable=True).data
    assert (data["errorType"], data["source"], data["code"]) == (
        "rate_limit_error",
        "provider",
        "rate_limited",
    )
