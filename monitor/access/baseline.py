"""What is usual: for a secret, for a principal, and for one reading the other. Pure, bounded, and slow to believe.

Every answer says which habit is broken and how well that is known. A habit speaks only once it is a week old and rests
on enough readings; what was told once is part of it from then on, but an odd day's volume only as far as it was usual.
"""

from __future__ import annotations

import ipaddress
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from monitor.access.breadth import Breadth, usual_most

__all__ = ["DAY", "HABIT_DAYS", "Habit", "mature", "network", "observe", "odd_address", "odd_hour", "odd_volume"]

DAY = 86_400.0
HABIT_DAYS = 28  # days with readings that are remembered
_AGE = 7 * DAY  # before it says anything
_DAYS, _TIMES = 5, 20  # with readings, and how many of them
_NEAR = 2  # hours to either side of a usual one
_WIDE = 18  # usual hours from which on every hour is
_ROAMING = 8  # networks from which on every one is usual
_NETWORKS = 64


@dataclass(frozen=True, slots=True)
class Habit:
    """`days`: number of a day since 1970 → readings; `hours`: of the day (UTC) → readings; `networks` → last day seen.
    `people`: of a secret, who reads it. `refused`: of a principal, how often in a row, since when; `probed`: which
    secrets within an hour, whatever was read in between; `breadth`: how many it reads within an hour."""

    first: float
    last: float
    times: int = 0
    days: Mapping[int, int] = field(default_factory=dict)
    hours: Mapping[int, int] = field(default_factory=dict)
    networks: Mapping[str, int] = field(default_factory=dict)
    people: tuple[str, ...] = ()
    refused: int = 0
    refused_since: float = 0.0
    probed: tuple[str, ...] = ()
    probed_since: float = 0.0
    breadth: Breadth = field(default_factory=Breadth)

    def as_json(self) -> dict[str, Any]:
        return {
            "first": self.first,
            "last": self.last,
            "times": self.times,
            "days": {str(day): count for day, count in self.days.items()},
            "hours": {str(hour): count for hour, count in self.hours.items()},
            "networks": dict(self.networks),
            "people": list(self.people),
            "refused": self.refused,
            "refused_since": self.refused_since,
            "probed": list(self.probed),
            "probed_since": self.probed_since,
            **({"breadth": self.breadth.as_json()} if self.breadth.hour else {}),
        }

    @classmethod
    def of_json(cls, state: Mapping[str, Any]) -> Habit:
        return cls(
            **{
                **state,
                "days": {int(day): count for day, count in state["days"].items()},
                "hours": {int(hour): count for hour, count in state["hours"].items()},
                "people": tuple(state["people"]),
                "probed": tuple(state["probed"]),
                "breadth": Breadth.of_json(state.get("breadth", {})),
            }
        )


def observe(habit: Habit | None, at: float, address: str = "", most: float | None = None) -> Habit:
    """The habit with one more reading. `most`: a day counts for no more than that."""
    known = habit or Habit(at, at)
    day = int(at // DAY)
    days = dict(known.days)
    count = days.get(day, 0) + 1
    days[day] = count if most is None else min(count, max(int(most), days.get(day, 0)))
    for old in sorted(days)[:-HABIT_DAYS]:
        del days[old]

    hour = _hour(at)
    networks = dict(known.networks)
    if where := network(address):
        networks[where] = max(day, networks.get(where, 0))
        if len(networks) > _NETWORKS:
            del networks[min(networks, key=lambda name: networks[name])]
    return replace(
        known,
        first=min(known.first, at),
        last=max(known.last, at),
        times=known.times + 1,
        days=days,
        hours={**known.hours, hour: known.hours.get(hour, 0) + 1},
        networks=networks,
    )


def mature(habit: Habit | None, at: float) -> bool:
    """Whether it may say what is usual at this moment."""
    if habit is None or habit.times < _TIMES or at - habit.first < _AGE:
        return False
    today = int(at // DAY)
    return sum(day < today for day in habit.days) >= _DAYS


def odd_hour(habit: Habit | None, at: float) -> str | None:
    """Why the hour of a reading is unusual; None: it is not."""
    if habit is None or not mature(habit, at) or len(habit.hours) >= _WIDE:
        return None
    hour = _hour(at)
    away = min(min((hour - usual) % 24, (usual - hour) % 24) for usual in habit.hours)
    if away <= _NEAR:
        return None
    usual = ", ".join(f"{one:02}" for one in sorted(habit.hours))
    when = datetime.fromtimestamp(at, UTC).strftime("%H:%M")
    return f"at {when} UTC, {away} hours from any usual one; {_known(habit)} were in the hours {usual}"


def odd_address(habit: Habit | None, at: float, address: str) -> str | None:
    """Why the address of a reading is unusual; None: it is not."""
    where = network(address)
    if habit is None or not where or not mature(habit, at) or not habit.networks:
        return None
    if where in habit.networks or len(habit.networks) >= _ROAMING:
        return None
    usual = ", ".join(sorted(habit.networks))
    return f"from {address[:60]}; {_known(habit)} came from {usual}"


def odd_volume(habit: Habit | None, at: float) -> tuple[str | None, float | None]:
    """Why one more reading on this day is too many, and how many are usual at most; None: nothing is known of that."""
    if habit is None or not mature(habit, at):
        return None, None
    today = int(at // DAY)
    before = [count for day, count in habit.days.items() if day < today]
    middle = statistics.median(before)
    usual = usual_most(before)
    count = habit.days.get(today, 0) + 1
    if count <= usual:
        return None, usual
    told = f"more than {int(usual)} times on one day; on {len(before)} days before it was {middle:g} times, at most "
    return f"{told}{max(before)}", usual


def network(address: str) -> str:
    """The neighbourhood of an address: /24, or /48 of IPv6. Names of services stay as they are."""
    try:
        place = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    place = getattr(place, "ipv4_mapped", None) or place
    return str(ipaddress.ip_network((place, 24 if place.version == 4 else 48), strict=False))


def _hour(at: float) -> int:
    return int(at % DAY // 3600)


def _known(habit: Habit) -> str:
    return f"{habit.times:,} readings on {len(habit.days)} days"
