from __future__ import annotations

import asyncio

import pytest

from monitor.common.tasks import cancel
from monitor.domain.model import Block
from monitor.sources.queue import SourceQueue
from tests.fakes.intake import FakeIntake, until


def record(number: int, size: int = 0) -> Block:
    return Block("s", "p", f"g{number}", 0, b"<%d>" % number + b"x" * size, 1.0)


async def test_records_are_settled_in_order_and_told_once_they_are_safe() -> None:
    intake, told = FakeIntake(), []
    hopper = SourceQueue(intake)
    intake.gate.clear()
    task = asyncio.create_task(hopper.run())
    for number in range(100):
        hopper.put(record(number), lambda number=number: told.append(number))  # type: ignore[misc]
    await until(lambda: intake.scanned)
    assert not told
    intake.gate.set()
    await asyncio.wait_for(hopper.empty(), 120)
    assert told == list(range(100))
    assert intake.marks == told
    assert hopper.waiting == 0
    await cancel(task)


async def test_whoever_puts_waits_while_too_much_does() -> None:
    intake = FakeIntake()
    hopper = SourceQueue(intake, most=10_000)
    intake.gate.clear()
    task = asyncio.create_task(hopper.run())
    hopper.put(record(1, 9_900))
    assert hopper.full
    waiting = asyncio.create_task(hopper.room())
    await until(lambda: intake.scanned)
    assert not waiting.done()
    intake.gate.set()
    await asyncio.wait_for(waiting, 120)
    assert not hopper.full
    await cancel(task)


async def test_empty_records_fill_it_too() -> None:
    hopper = SourceQueue(FakeIntake(), most=10_000)
    for number in range(30):
        hopper.put(Block("s", "p", f"g{number}", 0, b"", 1.0))
    assert hopper.full


async def test_what_was_in_work_when_it_was_stopped_is_settled_by_the_last_drain() -> None:
    intake = FakeIntake()
    hopper = SourceQueue(intake)
    intake.gate.clear()
    task = asyncio.create_task(hopper.run())
    hopper.put(record(1))
    await until(lambda: intake.scanned)
    hopper.put(record(2))
    await cancel(task)
    assert hopper.waiting == 6
    intake.gate.set()
    await hopper.drain()
    assert intake.marks == [1, 2]
    assert hopper.waiting == 0


async def test_a_store_that_fails_ends_the_run() -> None:
    class Broken(FakeIntake):
        async def scan(self, *_: object) -> int:
            raise OSError("broken")

    hopper = SourceQueue(Broken())
    hopper.put(record(1))
    with pytest.raises(OSError, match="broken"):
        await hopper.run()
