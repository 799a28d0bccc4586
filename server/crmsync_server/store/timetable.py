"""Timetables: when a schedule runs, by cron and a time zone. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import ClassVar, Self
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

_FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L (the last) or LW (the last weekday)",
    "month": "1 to 12 or JAN to DEC",
    "day-of-week": "0 to 7 (0 and 7 are Sunday), SUN to SAT, 5L (the last Friday) or 5#2",
}
_NEVER = "must come true on some day: this one never does"
_ANY_DAY = datetime(2024, 1, 1, tzinfo=UTC)


class TimetableError(ValueError):
    """No timetable can be made.

    Attributes:
        field: `cron` or `time_zone`.
        description: what would be right, in words.
    """

    field: ClassVar[str]

    def __init__(self, description: str) -> None:
        """Say what would be right."""
        super().__init__(f"{self.field} {description}")
        self.description = description


class CronError(TimetableError):
    """The cron expression is none, or never comes true."""

    field = "cron"


class TimeZoneError(TimetableError):
    """There is no such time zone."""

    field = "time_zone"


@dataclass(frozen=True, slots=True)
class Timetable:
    """When something runs.

    An hour that the clocks skip: what was to run in it runs at its end. An hour that they repeat:
    what runs at set hours runs in its first pass, and what runs every so many minutes, or every
    hour, in both.
    """

    cron: str
    zone: ZoneInfo

    @classmethod
    def of(cls, cron: str, time_zone: str) -> Self:
        """Return the timetable of five cron fields, meant in a zone with an IANA name.

        Raises:
            CronError: these are not five cron fields, or they never come true.
            TimeZoneError: there is no such time zone.
        """
        if time_zone not in _zones():
            known = "must be the IANA name of a time zone, such as Europe/Athens"
            told = f"{known}: there is no '{time_zone}'"
            raise TimeZoneError(told)
        if (count := len(cron.split())) != len(_FIELDS):
            told = f"must have 5 fields ({', '.join(_FIELDS)}), not {count}"
            raise CronError(told)
        table = cls(cron, ZoneInfo(time_zone))
        try:
            found = table.after(_ANY_DAY)
        except CronSimError as error:
            raise CronError(_told(cron, str(error))) from error
        if found is None:
            raise CronError(_NEVER)
        return table

    def after(self, moment: datetime) -> datetime | None:
        """Return when it runs next, later than a moment, in UTC; None when it never does."""
        for found in CronSim(self.cron, moment.astimezone(self.zone)):
            # In an hour that the clocks repeat, it is told of the first pass once again.
            if (instant := found.astimezone(UTC)) > moment:
                return instant
        return None


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _told(cron: str, fault: str) -> str:
    """Say which field is wrong, and what it may hold."""
    field = fault.removeprefix("Bad ")
    names = [*_FIELDS]
    if field not in names:
        return f"must be a cron expression: {fault}"
    given = cron.split()[names.index(field)]
    if field == "day-of-month" and _is_day(given):
        return _NEVER
    syntax = "*, values, ranges a-b and steps /n, joined by commas"
    return f"is wrong at the {field}, '{given}': must be {_FIELDS[field]}; {syntax}"


def _is_day(given: str) -> bool:
    """Tell whether a day of the month is right by itself, and only its months have no such day."""
    try:
        CronSim(f"0 0 {given} * *", _ANY_DAY)
    except CronSimError:
        return False
    return True
