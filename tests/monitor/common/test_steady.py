from __future__ import annotations

import time

import pytest

from monitor.common.steady import SETTLED, SteadyClock


class Machine:
    """`elapsed` runs; the wall clock is `ahead` of it."""

    def __init__(self) -> None:
        self.elapsed, self.ahead = 100.0, 1e9
        self.clock = SteadyClock(lambda: self.elapsed + self.ahead, lambda: self.elapsed)

    def after(self, seconds: float) -> float:
        self.elapsed += seconds
        return self.clock()


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.mark.parametrize("step", [40_000_000.0, -3600.0])
def test_a_step_forth_and_back_never_shows(machine: Machine, step: float) -> None:
    machine.ahead += step
    assert machine.after(0.035) == 1e9 + 100.035
    machine.ahead -= step
    assert machine.after(SETTLED) == 1e9 + 100.035 + SETTLED
    machine.ahead += step
    assert machine.after(1) == pytest.approx(1e9 + 101.035 + SETTLED), "the time of the first step does not count"


@pytest.mark.parametrize("step", [40_000_000.0, -3600.0])
def test_a_step_that_lasts_is_believed(machine: Machine, step: float) -> None:
    machine.ahead += step
    assert machine.after(1) == 1e9 + 101
    assert machine.after(SETTLED / 2) == 1e9 + 101 + SETTLED / 2
    assert machine.after(SETTLED / 2) == 1e9 + step + 101 + SETTLED


def test_steps_that_follow_each_other_are_one_after_the_other(machine: Machine) -> None:
    for _ in range(10):
        machine.ahead += 3600
        assert machine.after(SETTLED / 2) < 1e9 + 3600
    assert machine.after(SETTLED) == pytest.approx(1e9 + 36_000 + 100 + 6 * SETTLED)


def test_a_clock_that_is_adjusted_is_followed(machine: Machine) -> None:
    for _ in range(100):
        machine.ahead += 0.5
        machine.after(1)
    assert machine.clock() == 1e9 + 50 + 200


def test_it_is_the_time_of_day() -> None:
    assert SteadyClock()() == pytest.approx(time.time(), abs=0.5)
