"""Where an incident was seen, by place, and when, as a chart. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from monitor.common.grouping import grouped
from monitor.common.notification import IncidentView, Location
from monitor.common.outcome import window

__all__ = ["Bar", "Chart", "SeenPlace", "chart", "places"]

WIDTH, HEIGHT = 480, 96  # of the chart, in its own units
_BARS = 24


@dataclass(frozen=True, slots=True)
class SeenPlace:
    """One host, service, source and path. `count`: sightings that are stored; `newest`: the last of them."""

    newest: Location
    count: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class Bar:
    """Sightings from `start` on, as long as a bar is wide. `height` in units of the chart."""

    x: float
    height: float
    count: int
    start: datetime


@dataclass(frozen=True, slots=True)
class Chart:
    """From `start` to `end`. `width`: of a bar; `ended`: where on it the secret was revoked, None: it was not."""

    bars: Sequence[Bar]
    width: float
    start: datetime
    end: datetime
    ended: float | None


def places(locations: Sequence[Location]) -> list[SeenPlace]:
    """The one seen last first. `locations`: newest first."""
    by_place = grouped(((one.host, one.service, one.source, one.path), one) for one in locations)
    return [_place(seen) for seen in by_place.values()]


def _place(seen: Sequence[Location]) -> SeenPlace:
    times = [at for one in seen if (at := _when(one)) is not None]
    return SeenPlace(seen[0], len(seen), min(times, default=None), max(times, default=None))


def _when(location: Location) -> datetime | None:
    return location.logged_at or location.time


def chart(incident: IncidentView, now: float) -> Chart:
    """Of the sightings that are stored, from when it was first seen until now or, where it was revoked, as long after
    that as before."""
    begin, revoked = (None if at is None else at.timestamp() for at in window(incident))
    assert begin is not None
    times = [when.timestamp() for one in incident.locations if (when := _when(one)) is not None]
    start = min([begin, *times])
    until = now if revoked is None else min(now, 2 * revoked - start)
    end = max(until, incident.last_seen.timestamp(), *times, start + 60.0)
    each = (end - start) / _BARS
    counts = [0] * _BARS
    for at in times:
        counts[min(int((at - start) / each), _BARS - 1)] += 1
    most = max(counts) or 1
    width = WIDTH / _BARS
    bars = [
        Bar(place * width, HEIGHT * count / most, count, datetime.fromtimestamp(start + place * each, UTC))
        for place, count in enumerate(counts)
        if count
    ]
    ended = None if revoked is None else WIDTH * (revoked - start) / (end - start)
    return Chart(bars, width, datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC), ended)
