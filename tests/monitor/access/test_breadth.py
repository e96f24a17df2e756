from __future__ import annotations

from monitor.access.breadth import FEW, HOUR, NEW, Breadth, too_broad, usual_most, widen

DAY = 24 * HOUR
START = 20_000 * DAY


def hour(at: float, count: int, known: Breadth | None = None, *, new: bool = False, unusual: bool = False) -> Breadth:
    breadth = known or Breadth()
    for n in range(count):
        breadth = widen(breadth, at + n, new=new, unread=False, unusual=unusual)
    return breadth


def test_an_hour_ends_and_its_day_keeps_the_most() -> None:
    breadth = hour(START + HOUR, 3, hour(START, 7, new=True), unusual=True)
    assert (breadth.secrets, breadth.new, breadth.unusual, breadth.days) == (3, 0, 3, {20_000: 7})
    assert widen(breadth, START, new=True, unread=True, unusual=True) is breadth


def test_each_reason_has_its_limit() -> None:
    assert too_broad(hour(START, NEW - 1, new=True), trail=True) is None
    assert too_broad(hour(START, NEW, new=True), trail=True) == ("new", NEW)
    assert too_broad(hour(START, NEW, new=True), trail=False) is None
    assert too_broad(hour(START, FEW - 1, unusual=True), trail=True) is None
    assert too_broad(hour(START, FEW, unusual=True), trail=False) == ("unusual", FEW)


def test_what_is_usual_is_known_after_five_days_and_not_raised_by_an_odd_one() -> None:
    breadth = Breadth()
    for day in range(5):
        breadth = hour(START + day * DAY, 10, breadth)
        assert too_broad(hour(START + day * DAY, 190, breadth), trail=True) is None
    odd = hour(START + 5 * DAY, 200, breadth)
    assert too_broad(odd, trail=True) == ("many", usual_most([10] * 5))
    assert odd.days[20_005] == usual_most([10] * 5) == 30
    for day in range(6, 40):
        odd = hour(START + day * DAY, 1, odd)
    assert len(odd.days) == 28


def test_it_is_kept_as_json() -> None:
    breadth = hour(START, 3, new=True)
    assert Breadth.of_json(breadth.as_json()) == breadth
    assert Breadth.of_json({}) == Breadth()
    assert not breadth.includes(START)
