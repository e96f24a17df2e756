from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from monitor.common import scheduler
from monitor.common.scheduler import Scheduler
from monitor.common.tasks import cancel
from tests.fakes.clock import turn


@contextlib.asynccontextmanager
async def running(
    seconds: float, work: Callable[[], Awaitable[object]], wake: asyncio.Event | None = None
) -> AsyncIterator[Scheduler]:
    made = Scheduler()
    task = asyncio.create_task(made.every(seconds, work, wake=wake))
    try:
        yield made
    finally:
        await cancel(task)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.001)


class Rounds:
    """Work that is counted, and that goes on for as long as `going_on` is not set."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.going_on = asyncio.Event()
        self.going_on.set()

    async def __call__(self) -> None:
        assert self.begun == self.ended, "two at once"
        self.begun += 1
        try:
            await self.going_on.wait()
        finally:
            self.ended += 1


async def quiet() -> None:
    """Everything that is due now has been done."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_comes_round_at_once_and_again_and_leaves_nothing_behind() -> None:
    rounds = Rounds()
    async with running(0.01, rounds) as made:
        await until(lambda: rounds.begun >= 4)
    assert made._scheduler.get_jobs() == []


async def test_a_round_that_overruns_is_alone_and_what_it_missed_is_one_round() -> None:
    rounds, wake = Rounds(), asyncio.Event()
    rounds.going_on.clear()
    async with running(3600.0, rounds, wake):
        await until(lambda: rounds.begun == 1)
        for _ in range(5):
            wake.set()
            await quiet()
        assert rounds.begun == 1
        rounds.going_on.set()
        await until(lambda: rounds.begun == 2)
        await quiet()
        assert rounds.begun == 2


async def test_an_alarm_that_rings_during_a_round_is_not_lost() -> None:
    rounds = Rounds()
    rounds.going_on.clear()
    async with running(0.01, rounds) as made:
        await until(lambda: rounds.begun == 1 and not made._scheduler.get_jobs())
        rounds.going_on.set()
        await until(lambda: rounds.begun >= 2)


async def test_a_round_under_way_ends_with_the_task() -> None:
    rounds = Rounds()
    rounds.going_on.clear()
    async with running(3600.0, rounds) as made:
        await until(lambda: rounds.begun == 1)
    assert (rounds.ended, made._scheduler.get_jobs()) == (1, [])


async def test_what_a_round_raises_is_the_callers_and_logged_by_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise ValueError("a text that may quote a row")

    made = Scheduler()
    with pytest.raises(ValueError, match="quote"):
        await made.every(3600.0, work)
    assert "quote" not in caplog.text
    assert made._scheduler.get_jobs() == []


async def test_a_clock_that_is_put_back_puts_no_round_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_now", lambda: datetime.now(UTC) + timedelta(days=1))
    rounds = Rounds()
    async with running(3600.0, rounds):
        await until(lambda: rounds.begun == 1)
        turn(3000.0)
        await quiet()
        assert rounds.begun == 1
        turn(1320.0)
        await until(lambda: rounds.begun == 2)


async def test_a_clock_that_is_put_forward_by_years_brings_one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [datetime(1970, 1, 1, tzinfo=UTC)]  # as where no battery keeps the time
    monkeypatch.setattr(scheduler, "_now", lambda: clock.pop() if clock else datetime.now(UTC))
    rounds = Rounds()
    async with running(3600.0, rounds):
        await until(lambda: rounds.begun == 2)
        await quiet()
        assert rounds.begun == 2


async def test_one_scheduler_rings_for_all() -> None:
    one, other, made = Rounds(), Rounds(), Scheduler()
    tasks = [asyncio.create_task(made.every(0.01, one)), asyncio.create_task(made.every(3600.0, other))]
    await until(lambda: one.begun >= 3)
    assert other.begun == 1
    await asyncio.gather(*map(cancel, tasks))


def test_nobody_pays_for_the_scheduler_who_has_no_rounds() -> None:
    code = (
        "import sys; from monitor.common.scheduler import Scheduler; Scheduler(); print('apscheduler' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout == "False\n"
