from __future__ import annotations

import pytest

from detectors.match.cost import BlockCost, Spent, TooSlowError


def test_the_clock_is_looked_at_after_some_candidates_and_says_what_was_allowed() -> None:
    work = BlockCost(1 << 10, seconds=0.0)
    for _ in range(63):
        work.count()
    with pytest.raises(TooSlowError, match=r"more than 0\.0 s of processor time"):
        work.count()


def test_without_a_deadline_nothing_is_cut_off() -> None:
    work = BlockCost(1 << 10, seconds=None)
    for _ in range(1000):
        work.count()
    assert work.candidates == 1000


def test_time_goes_to_the_rule_whose_turn_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1.0, 3.0, 3.5, 10.0, 10.25])
    work = BlockCost(1 << 10, seconds=None)
    monkeypatch.setattr("detectors.match.cost.time.thread_time", lambda: next(clock))
    work.turn(7, 2)
    work.turn(9, 1)
    work.turn(None)
    work.turn(7, 3)
    work.turn(None)
    assert work.spent == {7: Spent(5, 2.25), 9: Spent(1, 0.5)}


def test_without_accounts_the_clock_is_looked_at_after_some_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    work = BlockCost(1 << 10, seconds=60, accounts=False)

    def clock() -> float:
        looks.append(0.0)
        return 0.0

    monkeypatch.setattr("detectors.match.cost.time.thread_time", clock)
    for _ in range(128):
        work.turn(7, 2)
    assert (len(looks), work.spent) == (2, {})
    slow = BlockCost(1 << 10, seconds=-1.0, accounts=False)
    for _ in range(63):
        slow.turn(1)
    with pytest.raises(TooSlowError):
        slow.turn(1)


def test_a_turn_looks_at_the_deadline() -> None:
    with pytest.raises(TooSlowError):
        BlockCost(1 << 10, seconds=-1.0).turn(1)
