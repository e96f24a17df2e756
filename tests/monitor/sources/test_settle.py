from __future__ import annotations

import asyncio

import pytest

from monitor.common.tasks import cancel
from monitor.domain.model import Block, Position
from monitor.sources.settle import SourceQueue, settle
from tests.fakes.intake import FakeIntake, until


def record(number: int, data: bytes) -> Block:
    return Block("s", f"p{number}", f"g{number}", 0, data, 1.0)


def upto(done: int) -> list[Position]:
    return [Position("s", "k", {"done": done})]


async def test_records_are_scanned_together_and_the_position_is_behind_the_last() -> None:
    intake = FakeIntake()
    await settle(intake, [record(number, b"<%d>" % number) for number in range(50)], upto)
    assert intake.marks == list(range(50))
    assert len(intake.blocks) == 1
    assert intake.saved == {"k": {"done": 50}}


async def test_with_enough_findings_it_commits_and_goes_on() -> None:
    intake = FakeIntake()
    intake.enough = 1
    await settle(intake, [record(number, b"x" * (1 << 19) + b"<%d>" % number) for number in range(5)], upto)
    assert intake.marks == list(range(5))
    assert intake.commits > 1
    assert intake.saved == {"k": {"done": 5}}


async def test_only_the_record_the_engine_fails_on_is_lost() -> None:
    intake = FakeIntake()
    intake.broken = b"bad"
    await settle(intake, [record(number, b"bad" if number == 2 else b"<%d>" % number) for number in range(5)], upto)
    assert intake.marks == [0, 1, 3, 4]
    assert intake.lost == [("unscannable", 3, "p2")]
    assert intake.saved == {"k": {"done": 5}}


async def test_nothing_is_nothing() -> None:
    intake = FakeIntake()
    await settle(intake, [])
    assert not intake.blocks


def sized(number: int, size: int = 0) -> Block:
    return Block("s", "p", f"g{number}", 0, b"<%d>" % number + b"x" * size, 1.0)


async def test_records_are_settled_in_order_and_told_once_they_are_safe() -> None:
    intake, told = FakeIntake(), []
    queue = SourceQueue(intake)
    intake.gate.clear()
    task = asyncio.create_task(queue.run())
    for number in range(100):
        queue.put(sized(number), lambda number=number: told.append(number))  # type: ignore[misc]
    await until(lambda: intake.scanned)
    assert not told
    intake.gate.set()
    await asyncio.wait_for(queue.empty(), 120)
    assert told == list(range(100))
    assert intake.marks == told
    assert queue.waiting == 0
    await cancel(task)


async def test_whoever_puts_waits_while_too_much_does() -> None:
    intake = FakeIntake()
    queue = SourceQueue(intake, most=10_000)
    intake.gate.clear()
    task = asyncio.create_task(queue.run())
    queue.put(sized(1, 9_900))
    assert queue.full
    waiting = asyncio.create_task(queue.room())
    await until(lambda: intake.scanned)
    assert not waiting.done()
    intake.gate.set()
    await asyncio.wait_for(waiting, 120)
    assert not queue.full
    await cancel(task)


async def test_empty_records_fill_it_too() -> None:
    queue = SourceQueue(FakeIntake(), most=10_000)
    for number in range(30):
        queue.put(Block("s", "p", f"g{number}", 0, b"", 1.0))
    assert queue.full


async def test_what_was_in_work_when_it_was_stopped_is_settled_by_the_last_drain() -> None:
    intake = FakeIntake()
    queue = SourceQueue(intake)
    intake.gate.clear()
    task = asyncio.create_task(queue.run())
    queue.put(sized(1))
    await until(lambda: intake.scanned)
    queue.put(sized(2))
    await cancel(task)
    assert queue.waiting == 6
    intake.gate.set()
    await queue.drain()
    assert intake.marks == [1, 2]
    assert queue.waiting == 0


async def test_a_store_that_fails_ends_the_run() -> None:
    class Broken(FakeIntake):
        async def scan(self, *_: object) -> int:
            raise OSError("broken")

    queue = SourceQueue(Broken())
    queue.put(sized(1))
    with pytest.raises(OSError, match="broken"):
        await queue.run()
