"""When a schedule fires: five cron fields, or a word for them, read in a time zone.

A slot is a moment at which a schedule is to fire. Two rules cover the days on which clocks change:

- A schedule that names hours goes by the clock on the wall. A slot inside the hour that is skipped in spring comes at
  the end of the gap; slots that meet there are one. In the hour that comes twice in autumn only the first time counts.
- A schedule for every hour goes by elapsed time: it fires in both of the hours that look alike, and misses none.

Everything here is pure: the present comes in as an argument, and it is the database's.
"""

from __future__ import annotations

import difflib
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from types import MappingProxyType
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from agent_worker.domain.client_errors import InvalidSchedule

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "@hourly": "0 * * * *",
        "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *",
        "@weekly": "0 0 * * 0",
        "@monthly": "0 0 1 * *",
        "@yearly": "0 0 1 1 *",
        "@annually": "0 0 1 1 *",
    }
)
"""What may stand in place of the five fields."""

LONGEST = 255
"""Most characters of a cron expression."""

_FIELDS = 5
_MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EVERY_HOUR = frozenset(range(24))
_HINT = (
    "write minute, hour, day of month, month and day of week, such as 0 7 * * 1-5, or a word such as @daily"
)


class Timetable:
    """The slots of a cron expression in a time zone, in order, without end.

    All times that go in need a zone; all that come out are UTC and lie on a whole minute.

    Args:
        cron: Minute, hour, day of month, month and day of week as in crontab, names and `L`, `LW` and `#` included; or
            a word of `WORDS`.
        timezone: An IANA name such as `Europe/Berlin`.

    Raises:
        InvalidSchedule: One of them means nothing, or the expression never comes true.
    """

    def __init__(self, cron: str, timezone: str) -> None:
        self._cron = cron
        self._zone = _zone(timezone)
        fields = WORDS.get(cron.strip().lower(), cron).split() if len(cron) <= LONGEST else []
        if len(fields) != _FIELDS:
            raise InvalidSchedule(f"the cron {_cut(cron)!r} has not five fields", hint=_HINT)
        try:
            hours = CronSim(" ".join(fields), _EPOCH).hours
        except CronSimError as exc:
            raise InvalidSchedule(f"the cron {cron!r} has a {str(exc).lower()}", hint=_HINT) from exc
        self._is_elapsed = hours == _EVERY_HOUR
        if self._is_elapsed:
            fields[1] = "*"  # what makes the library count elapsed time
        self._fields = " ".join(fields)

    def after(self, moment: datetime) -> datetime:
        """Return the first slot later than `moment`.

        Raises:
            InvalidSchedule: There is none within 50 years.
        """
        slots = self._elapsed(moment) if self._is_elapsed else self._by_the_wall(moment)
        found = next((slot for slot in slots if slot > moment), None)
        if found is None:
            raise InvalidSchedule(
                f"the cron {self._cron!r} never comes true", hint="choose a day that exists"
            )
        return found

    def newest(self, first: datetime, until: datetime) -> datetime:
        """Return the last slot not later than `until`, given one of the slots before it.

        Halves the span again and again, so that a month of missed minutes costs about twenty looks.

        Args:
            first: A slot, not later than `until`.
            until: The present.
        """
        newest, later = first, until
        while later - newest >= _MINUTE:
            middle = newest + (later - newest) / 2
            if (slot := self.after(middle)) <= until:
                newest = slot
            else:
                later = middle
        return newest

    def _elapsed(self, moment: datetime) -> Iterator[datetime]:
        for slot in CronSim(self._fields, moment.astimezone(self._zone)):
            yield slot.astimezone(UTC)

    def _by_the_wall(self, moment: datetime) -> Iterator[datetime]:
        for slot in CronSim(self._fields, moment.astimezone(self._zone).replace(tzinfo=None)):
            yield _as_moment(slot, self._zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What decides when a schedule fires.

    Attributes:
        next_fire_at: When to look at it; None: nobody has worked it out since the schedule was written or changed.
        last_slot: The newest slot that has fired. No slot up to it fires again, whatever the clock says.
    """

    cron: str
    timezone: str
    next_fire_at: datetime | None = None
    last_slot: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a schedule that is due: fire `slot` unless it is None, and look again at `next_fire_at`."""

    slot: datetime | None
    next_fire_at: datetime


def decide(timing: Timing, now: datetime) -> Decision:
    """Return what a schedule that is due, or was never looked at, does now.

    Of several slots that were missed only the newest fires.

    Raises:
        InvalidSchedule: The cron expression or the time zone means nothing.
    """
    timetable = Timetable(timing.cron, timing.timezone)
    last = timing.last_slot or _EPOCH
    if timing.next_fire_at is None:
        return Decision(None, timetable.after(max(now, last)))
    first = timetable.after(max(timing.next_fire_at - timedelta(microseconds=1), last))
    if first > now:
        return Decision(None, first)
    slot = timetable.newest(first, now)
    return Decision(slot, timetable.after(slot))


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    # What is no key is a ValueError, what is a folder an OSError.
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as exc:
        names = {known.lower(): known for known in zoneinfo.available_timezones()}
        close = difflib.get_close_matches(name.lower()[:LONGEST], names, n=1)
        hint = f"did you mean {names[close[0]]}?" if close else "write an IANA name such as Europe/Berlin"
        raise InvalidSchedule(f"there is no time zone {_cut(name)!r}", hint=hint) from exc


def _as_moment(wall: datetime, zone: tzinfo) -> datetime:
    """Return when a clock on the wall first shows a time, or the end of the gap if it never does."""
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    while moment.astimezone(zone).replace(tzinfo=None) != wall:
        wall += _MINUTE
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
    return moment


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
