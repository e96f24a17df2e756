from __future__ import annotations

import json
from dataclasses import replace

from monitor.access.baseline import (
    DAY,
    HABIT_DAYS,
    Habit,
    mature,
    network,
    observe,
    odd_address,
    odd_hour,
    odd_volume,
)

T = 20_000 * DAY


def habit(days: int = 10, a_day: int = 5, hour: int = 9, address: str = "10.0.0.1") -> Habit:
    known: Habit | None = None
    for day in range(days):
        for number in range(a_day):
            known = observe(known, T + day * DAY + hour * 3600 + number, address)
    assert known is not None
    return known


def test_a_habit_survives_the_store() -> None:
    known = replace(habit(), people=("a",), refused=2, probed=("s",), probed_since=T)
    assert Habit.of_json(json.loads(json.dumps(known.as_json()))) == known


def test_it_speaks_after_a_week_and_enough_readings_only() -> None:
    assert not mature(None, T)
    assert not mature(habit(days=6), T + 6 * DAY)
    assert not mature(habit(days=10, a_day=1), T + 10 * DAY)
    assert mature(habit(), T + 10 * DAY)
    # One reading that was dated long ago makes no old habit.
    assert not mature(observe(observe(None, 0.0), T), T)
    burst = observe(None, T)
    for _ in range(1000):
        burst = observe(burst, T)
    assert not mature(burst, T + 30 * DAY)


def test_what_is_kept_is_bounded() -> None:
    known: Habit | None = None
    for day in range(400):
        known = observe(known, T + day * DAY, f"10.{day // 200}.{day % 200}.1")
    assert known is not None
    assert len(known.days) == HABIT_DAYS
    assert len(known.networks) == 64
    assert len(json.dumps(known.as_json())) < 4096


def test_an_hour_is_unusual_when_it_is_far_from_every_usual_one() -> None:
    at = T + 10 * DAY
    assert odd_hour(habit(), at + 11 * 3600) is None
    told = odd_hour(habit(), at + 3 * 3600)
    assert told is not None
    assert told == "at 03:00 UTC, 6 hours from any usual one; 50 readings on 10 days were in the hours 09"
    assert odd_hour(habit(hour=23), at + 1 * 3600) is None  # midnight is no border
    assert odd_hour(None, at) is None


def test_an_address_is_unusual_in_another_neighbourhood_of_one_that_is_at_home_somewhere() -> None:
    at = T + 10 * DAY
    assert odd_address(habit(), at, "10.0.0.200") is None
    assert odd_address(habit(), at, "10.0.1.200") == "from 10.0.1.200; 50 readings on 10 days came from 10.0.0.0/24"
    assert odd_address(habit(), at, "") is None
    roaming = habit()
    for number in range(9):
        roaming = observe(roaming, T + 9 * DAY, f"10.0.{number}.1")
    assert odd_address(roaming, at, "192.0.2.1") is None
    assert network("::ffff:10.0.0.1") == network("10.0.0.1") == "10.0.0.0/24"
    assert network("2001:db8:1:2::3") == "2001:db8:1::/48"
    assert network("secretsmanager.amazonaws.com") == "secretsmanager.amazonaws.com"


def test_a_volume_is_unusual_against_the_middle_and_its_spread_and_an_odd_day_does_not_become_usual() -> None:
    known = habit()
    at = T + 10 * DAY
    told = None
    for number in range(300):
        told, usual = odd_volume(known, at + number)
        known = observe(known, at + number, "10.0.0.1", usual)
    assert told == "more than 25 times on one day; on 10 days before it was 5 times, at most 5"
    assert known.days[int(at // DAY)] == 25
    assert odd_volume(known, at + DAY)[0] is None
    weekly = habit(days=14)
    for number in range(100):
        weekly = observe(weekly, T + 6 * DAY + number)  # one day had more
    for number in range(100):
        told, usual = odd_volume(weekly, T + 14 * DAY + number)
        assert told is None
        weekly = observe(weekly, T + 14 * DAY + number, "", usual)
