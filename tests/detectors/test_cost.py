from __future__ import annotations

import pytest

from detectors.cost import TooSlowError, Work, patience


def test_the_clock_is_looked_at_after_some_candidates_and_says_what_was_allowed() -> None:
    work = Work(1 << 10, seconds=0.0)
    for _ in range(63):
        work.count()
    with pytest.raises(TooSlowError, match=r"more than 0\.0 s of processor time"):
        work.count()


def test_without_a_deadline_nothing_is_cut_off() -> None:
    work = Work(1 << 10, seconds=None)
    for _ in range(1000):
        work.count()
    assert work.candidates == 1000


def test_a_larger_block_may_take_longer() -> None:
    assert patience(0) < patience(1 << 20) < patience(1 << 22)
