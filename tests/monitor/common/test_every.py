from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from monitor.common.every import every


@contextlib.asynccontextmanager
async def running(seconds: float, work: Callable[[], object], wake: asyncio.Event | None = None) -> AsyncIterator[None]:
    async def do() -> None:
        work()

    task = asyncio.create_task(every(seconds, do, wake=wake))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.001)


async def test_comes_round_at_once_and_again() -> None:
    rounds: list[int] = []
    async with running(0.001, lambda: rounds.append(1)):
        await until(lambda: len(rounds) >= 5)


async def test_a_wake_brings_the_next_round_on_and_many_bring_one() -> None:
    rounds: list[int] = []
    wake = asyncio.Event()
    async with running(3600, lambda: rounds.append(1), wake):
        await until(lambda: len(rounds) == 1)
        for _ in range(5):
            wake.set()
        await until(lambda: len(rounds) == 2)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(rounds) == 2


async def test_what_wakes_during_a_round_is_not_lost() -> None:
    wake = asyncio.Event()
    rounds: list[int] = []

    async def work() -> None:
        rounds.append(1)
        if len(rounds) == 1:
            wake.set()

    task = asyncio.create_task(every(3600, work, wake=wake))
    await until(lambda: len(rounds) == 2)
    task.cancel()


async def test_an_error_is_the_callers() -> None:
    async def work() -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await every(1, work)


async def test_rounds_that_are_brought_on_do_not_put_off_the_next_one() -> None:
    rounds: list[int] = []
    wake = asyncio.Event()
    async with running(0.2, lambda: rounds.append(1), wake):
        for known in range(1, 1001):
            await until(lambda known=known: len(rounds) >= known)
            wake.set()
        await until(lambda: len(rounds) >= 1002)
