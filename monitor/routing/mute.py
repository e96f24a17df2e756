"""Times of the week at which a route tells nobody. Pure."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["MuteTime", "muted_until"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIMES = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", re.ASCII)
_LONG = 8 * 86_400.0  # seconds: whatever is over by then comes round each week
_MINUTES = 24 * 60


class MuteTime(BaseModel):
    """One `[[mute_times]]` table, which routes name. A time that ends before it begins goes on into the next day."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    days: tuple[str, ...] = ("mon-sun",)  # on which it begins
    times: tuple[str, ...] = ("00:00-24:00",)
    time_zone: str = "UTC"

    @field_validator("days")
    @classmethod
    def _days(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            _weekdays(text)
        return _some(value)

    @field_validator("times")
    @classmethod
    def _times(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            _minutes(text)
        return _some(value)

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                'is no time zone that this host knows (package tzdata); write it as "Europe/Berlin" or "UTC"'
            ) from None
        return value

    def until(self, now: float) -> float | None:
        """When the time that runs ends; None: none does. Seconds since the epoch."""
        zone = zoneinfo.ZoneInfo(self.time_zone)
        today = datetime.fromtimestamp(now, zone).date()
        begins = {number for text in self.days for number in _weekdays(text)}
        ends = [
            end
            for day in (today - timedelta(days=1), today)
            if day.weekday() in begins
            for start, end in self._spans(day, zone)
            if start <= now < end
        ]
        return max(ends, default=None)

    def _spans(self, day: date, zone: zoneinfo.ZoneInfo) -> Iterator[tuple[float, float]]:
        for text in self.times:
            first, last = _minutes(text)
            yield _moment(day, first, zone), _moment(day, last if last > first else last + _MINUTES, zone)


def muted_until(times: Iterable[MuteTime], now: float) -> float | None:
    """When the first moment comes that is in none of them; None: it is now; infinity: it does not come."""
    known, end = tuple(times), now
    while (following := max((at for one in known if (at := one.until(end)) is not None), default=None)) is not None:
        end = following
        if end > now + _LONG:
            return float("inf")
    return None if end == now else end


def _moment(day: date, minutes: int, zone: zoneinfo.ZoneInfo) -> float:
    """What the clock on the wall shows then; an hour that a change of the clocks leaves out is the one after it."""
    days, rest = divmod(minutes, _MINUTES)
    return datetime.combine(day + timedelta(days=days), time(rest // 60, rest % 60), zone).timestamp()


def _weekdays(text: str) -> Iterable[int]:
    first, dash, last = text.partition("-")
    if first not in _DAYS or (dash and last not in _DAYS):
        raise ValueError(f'must be days such as "sat" or "mon-fri", of {", ".join(_DAYS)}')
    begin = _DAYS.index(first)
    return [(begin + more) % 7 for more in range((_DAYS.index(last or first) - begin) % 7 + 1)]


def _minutes(text: str) -> tuple[int, int]:
    found = _TIMES.fullmatch(text)
    if not found:
        raise ValueError('must be times such as "22:00-07:00" or "00:00-24:00"')
    hours = [int(part) for part in found.groups()]
    first, last = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if first >= _MINUTES or last > _MINUTES or first == last:
        raise ValueError('must be times such as "22:00-07:00", not empty, and begin before 24:00')
    return first, last


def _some(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("must not be empty; leave it out for all")
    return value
