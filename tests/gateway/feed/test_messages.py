"""Rows of `realtime.messages` are broadcasts, and nothing else."""

from __future__ import annotations

import json

import pytest

from agent_worker.gateway.realtime.binding import BindingRefused, Broadcast
from tests.gateway.feed.conftest import Sql, flowing
from tests.gateway.feed.ears import Ear, binding, service, until

MESSAGES = """
    CREATE SCHEMA IF NOT EXISTS realtime;
    DROP TABLE IF EXISTS realtime.messages CASCADE;
    CREATE TABLE realtime.messages (
      topic text NOT NULL, extension text NOT NULL, payload jsonb, event text, private boolean DEFAULT false,
      id uuid NOT NULL DEFAULT gen_random_uuid(), inserted_at timestamp NOT NULL DEFAULT now(),
      PRIMARY KEY (id, inserted_at)
    ) {partitioned};
    DROP PUBLICATION IF EXISTS supabase_realtime_messages_publication;
    CREATE PUBLICATION supabase_realtime_messages_publication FOR TABLE realtime.messages;
"""
INSERT = "INSERT INTO realtime.messages (topic, extension, payload, event, private) VALUES (%s, %s, %s, %s, %s) RETURNING id"


@pytest.mark.parametrize("partitioned", ["", "PARTITION BY RANGE (inserted_at)"])
async def test_a_row_of_messages_is_a_broadcast(owner: Sql, partitioned: str) -> None:
    owner.run(MESSAGES.format(partitioned=partitioned))
    if partitioned:
        owner.run("CREATE TABLE realtime.messages_2026_11_21 PARTITION OF realtime.messages DEFAULT")
    heard: list[Broadcast] = []
    async with flowing(owner.url) as changes:
        changes.broadcasts(heard.append)
        ((id_,),) = owner.run(INSERT, "task:1", "broadcast", '{"a": [1, 2.50]}', "delta", True)
        owner.run(INSERT, "task:1", "presence", "{}", "x", True)
        owner.run(INSERT, "task:1", "broadcast", None, "x", True)
        owner.run("UPDATE realtime.messages SET event = 'y'")
        owner.run("DELETE FROM realtime.messages")
        owner.run(INSERT, "room", "broadcast", "1", "é", False)
        await until(lambda: len(heard) == 2)
    first, second = heard
    assert (first.topic, first.event, first.private, first.id) == ("task:1", "delta", True, str(id_))
    assert json.loads(first.payload_json) == {"a": [1, 2.5]}
    assert (second.topic, second.event, second.payload_json, second.private) == ("room", "é", "1", False)


async def test_messages_are_no_table_that_anybody_can_follow(owner: Sql) -> None:
    owner.run(MESSAGES.format(partitioned=""))
    ear = Ear(service())
    async with flowing(owner.url) as changes:
        changes.broadcasts(lambda _: None)
        with pytest.raises(BindingRefused):
            await changes.add(ear, [binding("messages", schema="realtime")])
        await changes.add(ear, [binding("*", schema="*")])
        owner.run(INSERT, "task:1", "broadcast", "{}", "delta", True)
        owner.run("INSERT INTO news VALUES (1)")
        await ear.heard(1)
    assert [change["table"] for change in ear.data] == ["news"]
