"""Who is there, as Phoenix tells it."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent_worker.gateway.realtime.presence import Roster
from tests.gateway.realtime.phone import Phone, phone
from tests.gateway.realtime.server import Gateway

SHOWN = {"presence": {"enabled": True, "key": "me"}}


def roster() -> Roster:
    numbers = itertools.count(1)
    return Roster(lambda: f"ref{next(numbers)}")


def test_a_change_leaves_the_old_meta_and_names_it_in_the_new() -> None:
    members = roster()
    members.track("a", "me", {"mood": "calm"})
    members.take_diff_json()

    members.track("a", "me", {"mood": "glad"})

    diff = json.loads(members.take_diff_json() or "")
    assert diff == {
        "joins": {"me": {"metas": [{"mood": "glad", "phx_ref_prev": "ref1", "phx_ref": "ref2"}]}},
        "leaves": {"me": {"metas": [{"mood": "calm", "phx_ref": "ref1"}]}},
    }
    assert json.loads(members.state_json()) == diff["joins"]


def test_what_changes_nothing_is_no_news() -> None:
    members = roster()
    assert members.track("a", "me", {"mood": "calm"})
    members.take_diff_json()
    assert not members.track("a", "me", {"mood": "calm"})
    assert not members.untrack("b")
    assert members.take_diff_json() is None


def test_who_came_and_went_unseen_was_never_there() -> None:
    members = roster()
    members.track("a", "me", {})
    members.untrack("a")
    assert members.take_diff_json() is None


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(("x", "y", None)), st.booleans()))


@given(STEPS)
def test_a_client_that_adds_up_the_differences_sees_the_list(
    steps: list[tuple[str, str | None, bool]],
) -> None:
    members, known = roster(), dict[str, list[dict[str, Any]]]()
    for member, mood, is_told in [*steps, ("a", None, True)]:
        if mood is None:
            members.untrack(member)
        else:
            members.track(member, f"key of {member}"[:8], {"mood": mood})
        if is_told and (told := members.take_diff_json()):
            _apply(known, json.loads(told))
    state = {key: entry["metas"] for key, entry in json.loads(members.state_json()).items()}
    assert _sorted(known) == _sorted(state)


def _apply(known: dict[str, list[dict[str, Any]]], diff: dict[str, Any]) -> None:
    for key, entry in diff["joins"].items():
        known.setdefault(key, []).extend(entry["metas"])
    for key, entry in diff["leaves"].items():
        gone = {meta["phx_ref"] for meta in entry["metas"]}
        known[key] = [meta for meta in known[key] if meta["phx_ref"] not in gone]
        if not known[key]:
            del known[key]


def _sorted(state: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {key: sorted(metas, key=lambda meta: str(meta["phx_ref"])) for key, metas in state.items()}


async def test_a_member_hears_the_list_then_itself(client: Phone) -> None:
    await client.join("room", SHOWN)
    assert (await client.hear()).payload == {}
    ref = await client.say("realtime:room", "presence", {"event": "track", "payload": {"n": 1}}, join_ref="1")
    assert await client.reply(ref) == {"status": "ok", "response": {}}
    diff = (await client.event("presence_diff")).payload
    assert [meta["n"] for meta in diff["joins"]["me"]["metas"]] == [1]
    assert diff["leaves"] == {}


async def test_the_server_chooses_a_key_for_who_has_none(gateway: Gateway, client: Phone) -> None:
    await client.join("room", {"presence": {"key": "", "enabled": True}})
    await client.say("realtime:room", "presence", {"event": "track", "payload": {}}, join_ref="1")
    (key,) = (await client.event("presence_diff")).payload["joins"]
    assert len(key) == 36


async def test_who_shows_itself_sees_the_others_from_then_on(gateway: Gateway, client: Phone) -> None:
    async with phone(gateway.socket_url()) as other:
        await other.join("room", {"presence": {"key": "other"}})
        await other.say("realtime:room", "presence", {"event": "track", "payload": {}}, join_ref="1")
        await other.event("presence_diff")
        await client.join("room")
        assert await client.is_silent()
        await client.say("realtime:room", "presence", {"event": "TRACK", "payload": {}}, join_ref="1")
        assert "other" in (await client.event("presence_state")).payload


async def test_bad_presence_is_refused_and_too_much_of_it_ends_the_channel(client: Phone) -> None:
    await client.join("room", SHOWN)
    for payload in ({"event": "track", "payload": []}, {"event": "vanish"}, {"event": 7}, {}):
        ref = await client.say("realtime:room", "presence", payload, join_ref="1")
        assert (await client.reply(ref))["status"] == "error"
    for _ in range(2):
        await client.say("realtime:room", "presence", {"event": "untrack"}, join_ref="1")
    heard = await client.event("system")
    assert heard.payload["message"] == "Client presence rate limit exceeded"
    assert (await client.hear()).event == "phx_close"


async def test_a_hundred_that_come_at_once_are_told_in_few_messages(gateway: Gateway) -> None:
    async with phone(gateway.socket_url()) as watcher, phone(gateway.socket_url()) as crowd:
        await watcher.join("room", SHOWN)
        for n in range(1, 100):
            topic = "realtime:room" if n == 1 else f"realtime:room{n}"
            await crowd.say(topic, "phx_join", {"config": {}}, join_ref=str(n), ref=str(n))
        room = gateway.hub.enter(_Nobody(), "room", is_private=False)
        await crowd.reply("99")
        for n in range(100):
            room.track(_Nobody(), f"k{n}", {"n": n})
        diff = (await watcher.event("presence_diff")).payload
        assert len(diff["joins"]) == 100


class _Nobody:
    def hear(self, shout: object) -> None: ...

    def see(self, event: str, payload_json: str) -> None: ...
