from __future__ import annotations

import random
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from monitor.routing.mute import MuteTime, muted_until

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")


def at(text: str, zone: str = "Europe/Berlin") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


NIGHT = MuteTime(name="night", days=("mon-fri",), times=("22:00-07:00",), time_zone="Europe/Berlin")
WEEKEND = MuteTime(name="weekend", days=("sat", "sun"), time_zone="Europe/Berlin")


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-11-25T21:59:59", None),  # a Wednesday
        ("2026-11-25T22:00:00", "2026-11-26T07:00"),
        ("2026-11-26T06:59:59", "2026-11-26T07:00"),
        ("2026-11-26T07:00:00", None),
        ("2026-11-27T23:00:00", "2026-11-30T00:00"),  # Friday's night runs into the weekend
        ("2026-11-28T12:00:00", "2026-11-30T00:00"),
        ("2026-11-30T01:00:00", None),  # Sunday has no night
        ("2026-03-27T23:00:00", "2026-03-30T00:00"),  # the clocks change on Sunday
        ("2026-10-23T23:00:00", "2026-10-26T00:00"),
    ],
)
def test_a_time_ends_where_the_clock_on_the_wall_says(now: str, end: str | None) -> None:
    assert muted_until([NIGHT, WEEKEND], at(now)) == (at(end) if end else None)


def test_an_hour_that_is_left_out_mutes_nobody_and_one_that_comes_twice_is_muted_twice() -> None:
    hour = MuteTime(name="h", times=("02:00-03:00",), time_zone="Europe/Berlin")
    assert muted_until([hour], at("2026-03-29T03:00")) in (None, at("2026-03-29T04:00"))
    before = at("2026-10-25T02:00")
    assert muted_until([hour], before) == before + 7200


def test_what_leaves_no_moment_never_ends() -> None:
    assert muted_until([MuteTime(name="always")], 1.0) == float("inf")
    halves = [MuteTime(name="a", times=("00:00-12:00",)), MuteTime(name="b", times=("12:00-24:00",))]
    assert muted_until(halves, 1.0) == float("inf")
    assert muted_until([], 1.0) is None


def drawn(rng: random.Random) -> MuteTime:
    times = []
    while not times or rng.random() < 0.4:
        first, last = rng.randrange(24 * 60), rng.randrange(24 * 60 + 1)
        if first != last:
            times.append(f"{first // 60:02}:{first % 60:02}-{last // 60:02}:{last % 60:02}")
    days = tuple(rng.sample(DAYS, rng.randrange(1, 4)))
    return MuteTime(name="m", days=days, times=tuple(times), time_zone=rng.choice(ZONES))


@pytest.mark.parametrize("seed", range(100))
def test_it_is_muted_up_to_the_end_and_not_at_it(seed: int) -> None:
    rng = random.Random(seed)
    found = [drawn(rng) for _ in range(rng.randrange(1, 4))]
    now = rng.randrange(1_760_000_000, 1_800_000_000)
    end = muted_until(found, now)
    if end is None:
        assert all(one.until(now) is None for one in found)
        return
    last = min(end, now + 9 * 86_400)
    assert last > now
    for moment in [now, *(rng.uniform(now, last - 1e-3) for _ in range(20))]:
        assert any(one.until(moment) is not None for one in found)
    if end != float("inf"):
        assert all(one.until(end) is None for one in found)


@pytest.mark.parametrize(
    ("keys", "where", "message"),
    [
        ({"days": ["monday"]}, "days", 'days such as "sat" or "mon-fri"'),
        ({"days": []}, "days", "must not be empty"),
        ({"times": ["22-7"]}, "times", 'times such as "22:00-07:00"'),
        ({"times": ["07:00-07:00"]}, "times", "not empty"),
        ({"times": ["24:00-07:00"]}, "times", "begin before 24:00"),
        ({"times": ["22:00-24:30"]}, "times", "24:00"),
        ({"time_zone": "Berlin"}, "time_zone", "no time zone that this host knows"),
        ({"time_zone": "../etc/passwd"}, "time_zone", "no time zone that this host knows"),
        ({"until": "7"}, "until", "Extra inputs"),
    ],
)
def test_keys_that_do_not_fit(keys: dict[str, object], where: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as wrong:
        MuteTime.model_validate({"name": "night", **keys})
    assert wrong.value.errors()[0]["loc"] == (where,)
