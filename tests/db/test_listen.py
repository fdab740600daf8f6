"""The listener hears, notices that it no longer does, and hears again."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.listen import Listener
from agent_worker.domain.errors import ConfigurationError
from tests.client.by_hand import Wire, cut_connections
from tests.waiting import eventually


class Heard:
    """What a listener reported."""

    def __init__(self) -> None:
        self.notices: list[tuple[str, str]] = []
        self.ups = 0

    def listener(
        self, url: str, *channels: str, health_interval_s: float = 10.0, answer_timeout_s: float = 5.0
    ) -> Listener:
        return Listener(
            url,
            channels or ("news",),
            on_notify=lambda channel, payload: self.notices.append((channel, payload)),
            on_up=self._up,
            health_interval_s=health_interval_s,
            answer_timeout_s=answer_timeout_s,
        )

    def _up(self) -> None:
        self.ups += 1

    async def reaches(self, *, ups: int = 0, notices: int = 0) -> None:
        async def has_them() -> bool:
            return self.ups >= ups and len(self.notices) >= notices

        await eventually(has_them)


async def notify(db: Database, channel: str, payload: str) -> None:
    await db.fetch_all("SELECT pg_notify(%(channel)s, %(payload)s)", {"channel": channel, "payload": payload})


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Wire]:
    async with Wire(database_url).open() as opened:
        yield opened


async def test_listener_hands_on_notifications_of_its_channels_in_order(
    database_url: str, db: Database, heard: Heard
) -> None:
    listener = heard.listener(database_url, "news", 'odd "name"')
    await listener.start()
    await heard.reaches(ups=1)
    assert listener.connected
    await notify(db, "news", "1")
    await notify(db, "elsewhere", "not for us")
    await notify(db, 'odd "name"', "2")
    await notify(db, "news", "")
    await heard.reaches(notices=3)
    assert heard.notices == [("news", "1"), ('odd "name"', "2"), ("news", "")]
    await listener.stop()
    assert not listener.connected


async def test_listener_comes_back_after_its_backend_is_terminated_and_tells_so(
    database_url: str, db: Database, heard: Heard
) -> None:
    listener = heard.listener(database_url)
    await listener.start()
    await heard.reaches(ups=1)
    assert await cut_connections(db, listening=True) == 1
    await heard.reaches(ups=2)
    assert listener.connected
    await notify(db, "news", "after")
    await heard.reaches(notices=1)
    await listener.stop()


async def test_listener_notices_a_connection_that_died_without_a_word(
    wire: Wire, db: Database, heard: Heard
) -> None:
    listener = heard.listener(wire.url, health_interval_s=0.05, answer_timeout_s=0.1)
    await listener.start()
    await heard.reaches(ups=1)
    wire.freeze()

    async def is_down() -> bool:
        return not listener.connected

    await eventually(is_down)
    wire.thaw()
    await heard.reaches(ups=2)

    async def hears_again() -> bool:
        await notify(
            db, "news", "after"
        )  # again: a check that a busy machine answers late costs a connection
        return bool(heard.notices)

    await eventually(hears_again)
    await listener.stop()


async def test_listener_loses_nothing_that_arrives_during_a_health_check(
    database_url: str, db: Database, heard: Heard
) -> None:
    listener = heard.listener(database_url, health_interval_s=0.0)
    await listener.start()
    await heard.reaches(ups=1)
    for n in range(200):
        await notify(db, "news", str(n))
    await heard.reaches(notices=200)
    assert [payload for _, payload in heard.notices] == [str(n) for n in range(200)]
    assert heard.ups == 1
    await listener.stop()


async def test_consumers_ask_on_the_listening_session_and_hear_on(
    database_url: str, db: Database, heard: Heard
) -> None:
    listener = heard.listener(database_url)
    assert await listener.ask("SELECT 1", {}) is None, "it is not there yet"
    await listener.start()
    await heard.reaches(ups=1)
    held = "SELECT pg_try_advisory_lock(%(key)s)"
    assert await listener.ask(held, {"key": 1}) == [(True,)]
    asked = [listener.ask("SELECT pg_notify('news', %(n)s::text)", {"n": n}) for n in range(50)]
    await asyncio.gather(*asked)
    await heard.reaches(notices=50)
    assert await db.fetch_value(held, {"key": 1}) is False, "the lock is the session's"
    await listener.stop()

    async def is_free() -> bool:
        return bool(await db.fetch_value(held, {"key": 1}))

    await eventually(is_free)


async def test_a_question_that_the_session_does_not_survive_is_answered_with_nothing(
    wire: Wire, db: Database, heard: Heard
) -> None:
    listener = heard.listener(wire.url, answer_timeout_s=0.2)
    await listener.start()
    await heard.reaches(ups=1)
    wire.freeze()
    assert await listener.ask("SELECT 1", {}) is None
    wire.thaw()
    await heard.reaches(ups=2)

    async def answers() -> bool:
        return await listener.ask("SELECT 1", {}) == [(1,)]

    await eventually(answers)
    await listener.stop()


async def test_a_session_that_does_not_hear_its_channels_does_not_count_as_connected(
    wire: Wire, heard: Heard
) -> None:
    """As behind a pooler in transaction mode, which gives the LISTEN to somebody else's session."""
    wire.replace(b'LISTEN "news"', b"SELECT 'gone'")
    listener = heard.listener(wire.url)
    await listener.start()

    async def has_noticed() -> bool:
        return listener.is_pooled

    await eventually(has_noticed)
    assert not listener.connected
    assert await listener.ask("SELECT 1", {}) is None
    assert heard.ups == 0
    await listener.stop()


async def test_listener_starts_while_nobody_answers_and_connects_when_somebody_does(
    database_url: str, heard: Heard
) -> None:
    wire = Wire(database_url)
    async with wire.open():
        pass
    listener = heard.listener(wire.url)
    await listener.start()
    assert not listener.connected
    async with wire.open():
        await heard.reaches(ups=1)
        await listener.stop()


@pytest.mark.parametrize("moment", ["connecting", "idle", "checking"])
async def test_stop_is_prompt_on_a_half_open_connection(wire: Wire, heard: Heard, moment: str) -> None:
    listener = heard.listener(wire.url, health_interval_s=0.02 if moment == "checking" else 10.0)
    if moment == "connecting":
        wire.freeze()
        await listener.start()
    else:
        await listener.start()
        await heard.reaches(ups=1)
        wire.freeze()
    if moment != "idle":
        await asyncio.wait_for(wire.holds_bytes.wait(), 30)
    started = time.monotonic()
    await listener.stop()
    assert time.monotonic() - started < 20, "a half-open connection answers never"


async def test_stop_while_connecting_hangs_up_without_waiting_for_the_garbage_collector(
    wire: Wire, heard: Heard
) -> None:
    """A server waits a minute for a client that went silent at the door, and a DROP DATABASE waits for that."""
    listener = heard.listener(wire.url)
    wire.freeze()
    gc.disable()
    try:
        await listener.start()
        await asyncio.wait_for(wire.holds_bytes.wait(), 30)
        await listener.stop()
        wire.thaw()

        async def is_left() -> bool:
            return wire.is_left

        await eventually(is_left)
    finally:
        gc.enable()


async def test_starting_and_stopping_twice_is_fine_and_so_is_stopping_what_never_started(
    database_url: str, heard: Heard
) -> None:
    listener = heard.listener(database_url)
    await listener.stop()
    await listener.start()
    await listener.start()
    await heard.reaches(ups=1)
    await listener.stop()
    await listener.stop()
    await listener.start()
    await heard.reaches(ups=2)
    await listener.stop()


async def test_start_and_stop_in_any_rhythm_leave_no_connection_behind(
    database_url: str, db: Database, heard: Heard
) -> None:
    for n in range(20):
        listener = heard.listener(database_url)
        await listener.start()
        await asyncio.sleep(n * 0.001)
        await listener.stop()

    async def are_gone() -> bool:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%% listener' "
            "AND pid <> pg_backend_pid()"
        )
        return bool(await db.fetch_value(query, {}) == 0)

    await eventually(are_gone)


async def test_a_callback_that_raises_is_told_at_stop(database_url: str, db: Database) -> None:
    def break_it(channel: str, payload: str) -> None:
        raise ZeroDivisionError

    listener = Listener(database_url, ["news"], on_notify=break_it, on_up=lambda: None)
    await listener.start()

    async def is_up() -> bool:
        return listener.connected

    await eventually(is_up)
    await notify(db, "news", "1")

    async def is_down() -> bool:
        return not listener.connected

    await eventually(is_down)
    with pytest.raises(ZeroDivisionError):
        await listener.stop()


def test_a_malformed_address_is_refused_at_once(heard: Heard) -> None:
    with pytest.raises(ConfigurationError):
        heard.listener("not a = conn = info")
