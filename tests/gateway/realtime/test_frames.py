"""Frames as bytes and text, without a socket."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_worker.gateway.realtime.broadcast import Shout
from agent_worker.gateway.realtime.frames import (
    MalformedFrame,
    Message,
    UserBroadcast,
    Version,
    decode,
    encode_json,
    ending,
    narrowed,
    push,
    reply,
    user_broadcast,
)
from agent_worker.gateway.realtime.joins import JoinRefused, bindings, echo, parse_join
from agent_worker.gateway.realtime.limits import RealtimeLimits
from tests.gateway.realtime.phone import parse

VERSIONS = st.sampled_from(Version)
NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1, max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=4)
LIMITS = RealtimeLimits()


REFS = st.tuples(st.none() | NAMES, st.none() | NAMES)


@given(VERSIONS, NAMES, NAMES, OBJECTS, REFS)
def test_a_message_is_read_as_it_was_written(
    version: Version, topic: str, event: str, payload: dict[str, Any], refs: tuple[str | None, str | None]
) -> None:
    ref, join_ref = refs
    if version is Version.V2:
        text = json.dumps([join_ref, ref, topic, event, payload])
    else:
        parts = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref}
        text = json.dumps(parts)
    assert decode(text, version) == Message(topic, event, payload, ref, join_ref)


@given(VERSIONS, NAMES, NAMES, OBJECTS)
def test_a_push_is_read_by_clients_as_it_was_meant(
    version: Version, topic: str, event: str, payload: dict[str, Any]
) -> None:
    heard = parse(push(version, topic, event, encode_json(payload)))
    assert (heard.topic, heard.event, heard.payload, heard.ref) == (topic, event, payload, None)


@given(NAMES, NAMES, st.binary(max_size=100))
def test_bytes_survive_the_way_through(topic: str, event: str, body: bytes) -> None:
    fields = [part.encode() for part in ("1", "2", topic, event, "")]
    frame = bytes((3, *map(len, fields), 0)) + b"".join(fields) + body
    message = decode(frame, Version.V2)
    assert message == Message(topic, "broadcast", UserBroadcast(event, body, is_json=False), "2", "1")

    sent = user_broadcast(topic, event, body, is_json=False)
    assert sent is not None
    heard = parse(sent)
    assert (heard.topic, heard.payload["event"], heard.payload["payload"]) == (topic, event, body)


@given(VERSIONS, st.text() | st.binary())
def test_anything_is_a_message_or_malformed(version: Version, frame: str | bytes) -> None:
    with contextlib.suppress(MalformedFrame):
        assert isinstance(decode(frame, version), Message)


@given(VERSIONS, JSON)
def test_any_json_is_a_message_or_malformed(version: Version, value: object) -> None:
    with contextlib.suppress(MalformedFrame):
        assert isinstance(decode(json.dumps(value), version), Message)


@given(st.binary(min_size=6, max_size=6), st.binary(max_size=300))
def test_any_binary_head_is_a_message_or_malformed(head: bytes, rest: bytes) -> None:
    with contextlib.suppress(MalformedFrame):
        assert isinstance(decode(b"\x03" + head + rest, Version.V2), Message)


def test_replies_have_the_shapes_of_both_versions() -> None:
    asked = Message("realtime:x", "phx_join", {}, "2", "1")
    payload = {"status": "ok", "response": {}}
    assert json.loads(reply(Version.V2, asked, "ok")) == ["1", "2", "realtime:x", "phx_reply", payload]
    assert json.loads(reply(Version.V1, asked, "ok")) == {
        "topic": "realtime:x",
        "event": "phx_reply",
        "payload": payload,
        "ref": "2",
    }
    assert json.loads(ending(Version.V2, "realtime:x", "phx_close", "1")) == [
        "1",
        "1",
        "realtime:x",
        "phx_close",
        {},
    ]


def test_a_name_that_is_too_long_for_a_binary_head_is_not_sent_so() -> None:
    assert user_broadcast("t" * 255, "e" * 255, b"", is_json=False) is not None
    assert user_broadcast("t" * 256, "e", b"", is_json=False) is None
    assert user_broadcast("ž" * 128, "e", b"", is_json=False) is None


def test_one_broadcast_is_encoded_once_for_each_version() -> None:
    shout = Shout.pushed("realtime:x", UserBroadcast("e", b'{"a":1}', is_json=True))
    first = shout.frame(Version.V2)
    assert shout.frame(Version.V2) is first
    assert shout.frame(Version.V1) is shout.frame(Version.V1)
    assert Shout.pushed("realtime:x", UserBroadcast("e", b"\x00", is_json=False)).frame(Version.V1) is None


def test_a_stored_message_names_its_row() -> None:
    frame = Shout.stored("realtime:x", "e", '{"a":1}', "id-1", is_replayed=True).frame(Version.V2)
    assert isinstance(frame, str)
    assert parse(frame).payload == {
        "type": "broadcast",
        "event": "e",
        "payload": {"a": 1},
        "meta": {"id": "id-1", "replayed": True},
    }


def test_old_clients_write_the_low_byte_of_each_letter() -> None:
    assert narrowed("realtime:ä") == "realtime:ä"
    assert narrowed("ž") == "~"


@given(st.lists(JSON, max_size=6))
def test_numbers_of_bindings_are_stable_never_zero_and_told_apart(changes: list[Any]) -> None:
    ids, response = echo(changes)
    assert ids == echo(json.loads(json.dumps(changes)))[0]
    assert all(0 < number < 2**53 for number in ids)
    assert [entry["id"] for entry in json.loads(response)["postgres_changes"]] == ids
    for one, left in zip(ids, changes, strict=True):
        for other, right in zip(ids, changes, strict=True):
            same = json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
            assert (one == other) == same


@given(st.text(), OBJECTS | st.fixed_dictionaries({"config": OBJECTS | JSON, "access_token": JSON}))
def test_any_join_is_parsed_or_refused(topic: str, payload: dict[str, Any]) -> None:
    with contextlib.suppress(JoinRefused):
        parse_join(f"realtime:{topic}", payload, LIMITS)


def test_a_join_that_says_nothing_shows_presence_and_waits_for_nothing() -> None:
    join = parse_join("realtime:x:y", {}, LIMITS)
    assert (join.name, join.shows_presence, join.wait_s, join.token) == ("x:y", True, None, None)
    assert not join.acknowledges
    assert not join.is_private


@pytest.mark.parametrize(
    ("options", "wait_s"),
    [
        ({}, None),
        ({"wait": True}, 15.0),
        ({"wait": True, "timeout": 500}, 0.5),
        ({"wait": True, "timeout": 9e9}, 20.0),
    ],
)
def test_a_join_waits_as_long_as_it_says_within_bounds(options: dict[str, Any], wait_s: float | None) -> None:
    join = parse_join("realtime:x", {"config": {"postgres_changes_options": options}}, LIMITS)
    assert join.wait_s == wait_s


def test_an_entry_without_a_table_follows_its_schema() -> None:
    entries = [{"schema": "public", "event": "*"}, {"table": "t", "event": "insert", "select": ["a", "b"]}]
    ids, _ = echo(entries)
    all_of_it, one = bindings(entries, ids, LIMITS)
    assert (all_of_it.schema, all_of_it.table, all_of_it.select) == ("public", None, None)
    assert (one.schema, one.table, one.event, one.select) == ("public", "t", "INSERT", ("a", "b"))
