"""When schedules fire: on ordinary days, on days when clocks change, and after an outage."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent_worker.domain.client_errors import InvalidSchedule
from agent_worker.domain.schedule import Timetable, Timing, decide

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
ZONES = [BERLIN, NEW_YORK, "UTC", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Cairo", "Atlantic/Azores"]
CRONS = [
    "* * * * *",
    "30 * * * *",
    "*/20 0-23 * * *",
    "30 2 * * *",
    "*/15 2 * * *",
    "0,30 1-3 * * *",
    "0 */2 * * *",
    "0 0 * * *",
    "59 23 * * 0",
    "0 1 * * 6",
    "15 2 L * *",
    "@hourly",
    "@Weekly",
]

TIMETABLES = st.builds(Timetable, st.sampled_from(CRONS), st.sampled_from(ZONES))
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


def slots(cron: str, zone: str, first: str, last: str) -> list[str]:
    """The slots between two local times, as a clock on the wall shows them, with their distance from UTC."""
    here = ZoneInfo(zone)
    moment, end = (
        datetime.fromisoformat(text).replace(tzinfo=here).astimezone(UTC) for text in (first, last)
    )
    timetable, found = Timetable(cron, zone), []
    while (moment := timetable.after(moment)) <= end:
        found.append(f"{moment.astimezone(here):%d %H:%M %z}")
    return found


# The days on which clocks change. Berlin: 2026-03-29 02:00 → 03:00 and 2026-10-25 03:00 → 02:00.
# New York: 2026-03-08 02:00 → 03:00 and 2026-11-01 02:00 → 01:00.


@pytest.mark.parametrize(
    ("zone", "day", "before", "after"),
    [(BERLIN, "2026-03-29", "+0100", "+0200"), (NEW_YORK, "2026-03-08", "-0500", "-0400")],
)
def test_a_slot_in_the_skipped_hour_comes_once_at_its_end(
    zone: str, day: str, before: str, after: str
) -> None:
    today = datetime.fromisoformat(day)
    span = (f"{today - timedelta(days=1):%F} 12:00", f"{today + timedelta(days=1):%F} 12:00")

    gap, next_day = f"{today:%d} 03:00 {after}", f"{today + timedelta(days=1):%d}"
    assert slots("30 2 * * *", zone, *span) == [gap, f"{next_day} 02:30 {after}"]
    assert slots("15,45 2 * * *", zone, *span) == [
        gap,
        f"{next_day} 02:15 {after}",
        f"{next_day} 02:45 {after}",
    ]
    assert slots("*/30 2 * * *", zone, *span)[0] == gap
    assert slots("0 2,3 * * *", zone, span[0], f"{day} 12:00") == [gap], "both mean the same moment"
    assert slots("30 1 * * *", zone, span[0], f"{day} 12:00") == [f"{today:%d} 01:30 {before}"]


@pytest.mark.parametrize(
    ("zone", "day", "hour", "before", "after"),
    [(BERLIN, "2026-10-25", "02", "+0200", "+0100"), (NEW_YORK, "2026-11-01", "01", "-0400", "-0500")],
)
def test_a_daily_slot_in_the_repeated_hour_comes_once(
    zone: str, day: str, hour: str, before: str, after: str
) -> None:
    today = datetime.fromisoformat(day)
    span = (f"{day} 00:30", f"{today + timedelta(days=1):%F} 00:00")

    assert slots(f"30 {hour} * * *", zone, *span) == [f"{today:%d} {hour}:30 {before}"]
    assert slots(f"*/30 {hour} * * *", zone, *span) == [
        f"{today:%d} {hour}:00 {before}",
        f"{today:%d} {hour}:30 {before}",
    ]
    third = int(hour) + 1
    assert slots(f"0 {third} * * *", zone, *span) == [f"{today:%d} 0{third}:00 {after}"]


@pytest.mark.parametrize("minutes", ["0 *", "0 */1", "0 0-23"])
def test_an_hourly_schedule_fires_every_hour_that_passes(minutes: str) -> None:
    spring = slots(f"{minutes} * * *", BERLIN, "2026-03-29 00:30", "2026-03-29 04:00")
    autumn = slots(f"{minutes} * * *", BERLIN, "2026-10-25 01:30", "2026-10-25 03:00")

    assert spring == ["29 01:00 +0100", "29 03:00 +0200", "29 04:00 +0200"]
    assert autumn == ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]


@given(TIMETABLES, MOMENTS)
def test_slots_strictly_increase_and_lie_on_whole_minutes(timetable: Timetable, moment: datetime) -> None:
    found = [moment]
    for _ in range(10):
        found.append(timetable.after(found[-1]))

    assert all(earlier < later for earlier, later in pairwise(found))
    assert all((slot.second, slot.microsecond) == (0, 0) for slot in found[1:])


@given(TIMETABLES, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=3)))
@example(
    Timetable("30 2 * * *", BERLIN), datetime(2026, 10, 24, 23, tzinfo=UTC), timedelta(hours=2, minutes=10)
)
def test_a_slot_is_the_same_from_wherever_one_looks(
    timetable: Timetable, moment: datetime, later: timedelta
) -> None:
    """No slot is lost or invented by looking between two slots."""
    slot = timetable.after(moment)

    between = min(moment + later, slot - timedelta(microseconds=1))
    assert timetable.after(between) == slot


@given(st.sampled_from(ZONES), st.dates(date(2024, 1, 1), date(2032, 1, 1)))
def test_a_daily_schedule_fires_once_a_day_wherever_clocks_change(zone: str, day: date) -> None:
    for cron in ("30 2 * * *", "0 0 * * *", "*/60 1 * * *"):
        moment = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        timetable = Timetable(cron, zone)
        first = timetable.after(moment)
        second = timetable.after(first)
        assert timedelta(hours=22) < second - first < timedelta(hours=26)


@given(st.text(alphabet="0123456789*/-,#LW@dailyMONjan ", max_size=30), st.sampled_from(["UTC", BERLIN]))
@example("9" * 5000 + " * * * *", "UTC")
@example("0 0 30 2 *", "UTC")
@example("* * * * 5#1/2", "UTC")
@example("0 0 31 4,6,9,11 *", "UTC")
def test_any_expression_is_read_or_refused(cron: str, zone: str) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    with contextlib.suppress(InvalidSchedule):
        assert Timetable(cron, zone).after(moment) > moment


@pytest.mark.parametrize(
    ("cron", "zone", "problem"),
    [
        ("61 * * * *", "UTC", "the cron '61 * * * *' has a bad minute · write minute, hour"),
        ("0 7 * *", "UTC", "the cron '0 7 * *' has not five fields"),
        ("0 0 7 * * *", "UTC", "has not five fields"),
        ("", "UTC", "has not five fields"),
        ("@fortnightly", "UTC", "has not five fields"),
        ("0 0 30 2 *", "UTC", "has a bad day-of-month"),
        ("@daily", "Europe/Berln", "there is no time zone 'Europe/Berln' · did you mean Europe/Berlin?"),
        ("@daily", "europe/berlin", "did you mean Europe/Berlin?"),
        ("@daily", "../etc/passwd", "there is no time zone"),
        ("@daily", "America", "there is no time zone 'America'"),
        ("@daily", "", "there is no time zone ''"),
        ("@daily", "a\x00b", "there is no time zone"),
        ("@daily", "x" * 5000, "there is no time zone"),
    ],
)
def test_what_means_nothing_is_refused_with_its_reason(cron: str, zone: str, problem: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        Timetable(cron, zone)
    assert problem in str(refused.value)


# What a schedule that is due does


NOON = datetime(2026, 5, 4, 12, 0, 0, 250_000, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


def test_a_due_slot_fires_and_the_next_one_is_set() -> None:
    decision = decide(Timing(cron="0 * * * *", timezone="UTC", next_fire_at=at("2026-05-04T12:00")), NOON)

    assert (decision.slot, decision.next_fire_at) == (at("2026-05-04T12:00"), at("2026-05-04T13:00"))


def test_slots_missed_in_an_outage_collapse_into_the_newest() -> None:
    decision = decide(Timing(cron="*/10 * * * *", timezone="UTC", next_fire_at=at("2026-01-01T00:00")), NOON)

    assert (decision.slot, decision.next_fire_at) == (at("2026-05-04T12:00"), at("2026-05-04T12:10"))


def test_a_schedule_nobody_has_looked_at_fires_nothing_that_is_past() -> None:
    decision = decide(Timing(cron="0 * * * *", timezone="UTC"), NOON)

    assert (decision.slot, decision.next_fire_at) == (None, at("2026-05-04T13:00"))


@pytest.mark.parametrize("back", [timedelta(0), timedelta(minutes=1), timedelta(days=40)])
def test_no_slot_up_to_the_last_one_fires_again(back: timedelta) -> None:
    last = at("2026-05-04T12:00")
    timing = Timing(cron="0 * * * *", timezone="UTC", next_fire_at=last - back, last_slot=last)

    assert decide(timing, NOON).slot is None
    assert decide(timing, NOON).next_fire_at == at("2026-05-04T13:00")


def test_after_the_clock_stepped_back_the_slots_that_come_again_are_left_out() -> None:
    last = at("2026-05-04T14:00")
    timing = Timing(cron="0 * * * *", timezone="UTC", next_fire_at=None, last_slot=last)

    assert decide(timing, NOON).next_fire_at == at("2026-05-04T15:00")


def test_a_time_that_is_no_slot_fires_nothing() -> None:
    timing = Timing(cron="0 0 * * *", timezone="UTC", next_fire_at=at("2026-05-04T11:59"))

    assert decide(timing, NOON).slot is None
    assert decide(timing, NOON).next_fire_at == at("2026-05-05T00:00")


@given(TIMETABLES, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=40)))
def test_the_newest_missed_slot_has_no_other_before_the_present(
    timetable: Timetable, moment: datetime, outage: timedelta
) -> None:
    first = timetable.after(moment)
    until = first + outage

    newest = timetable.newest(first, until)

    assert first <= newest <= until < timetable.after(newest)
