from __future__ import annotations

import asyncio

import pytest

from monitor.common import tasks
from monitor.common.tasks import cancel, keep_up, whenever


async def test_a_task_has_ended_when_cancel_returns_also_one_that_fails_at_its_end() -> None:
    ended: list[str] = []

    async def work(fails: bool) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("fails" if fails else "ends")
            if fails:
                raise RuntimeError

    for fails in (False, True):
        task = asyncio.create_task(work(fails))
        await asyncio.sleep(0)
        await cancel(task)
        assert task.done()
    assert ended == ["ends", "fails"]


async def test_what_fails_is_begun_anew_after_pauses_that_grow_until_it_has_worked_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[int] = []
    ends = ["fail", "fail", "fail", "work", "fail", "end"]

    def backoff(failures: int, first: float, longest: float) -> float:
        pauses.append(failures)
        return 0.0

    async def work() -> None:
        monkeypatch.setattr(tasks, "LONGEST", 0.0 if ends[0] == "work" else 60.0)  # so long has it worked
        if ends.pop(0) != "end":
            raise RuntimeError

    monkeypatch.setattr(tasks, "backoff", backoff)
    told: list[int] = []
    assert await keep_up(work, lambda error, failures: told.append(failures) is None)
    assert pauses == told == [1, 2, 3, 1, 2]


async def test_what_is_given_up_has_not_come_to_its_end() -> None:
    async def work() -> None:
        raise LookupError

    seen: list[type[BaseException]] = []
    assert not await keep_up(work, lambda error, failures: seen.append(type(error)) is not None)
    assert seen == [LookupError]


async def test_a_cancellation_of_somebody_else_is_a_failure_and_its_own_is_the_end() -> None:
    begun: list[int] = []

    async def work() -> None:
        begun.append(1)
        if len(begun) == 1:
            raise asyncio.CancelledError
        await asyncio.Event().wait()

    async def keep() -> None:
        await keep_up(work, lambda error, failures: seen.append(type(error)) is None)

    seen: list[type[BaseException]] = []
    task = asyncio.create_task(keep())
    async with asyncio.timeout(120):
        while len(begun) < 2:
            await asyncio.sleep(0.001)
    await cancel(task)
    assert task.cancelled()
    assert seen == [asyncio.CancelledError]


async def test_it_counts_as_mended_only_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the pause after a failure."""
    monkeypatch.setattr(tasks, "STEADY", 0.0)
    mended, going_on = asyncio.Event(), asyncio.Event()
    fails = True

    async def work() -> None:
        if fails:
            raise RuntimeError
        await going_on.wait()

    def failed(error: BaseException, failures: int) -> bool:
        nonlocal fails
        fails = failures < 5
        assert not mended.is_set()
        return True

    monkeypatch.setattr(tasks, "FIRST", 0.001)
    keeping = asyncio.create_task(keep_up(work, failed, mended.set))
    await asyncio.wait_for(mended.wait(), 120)
    assert not fails
    going_on.set()
    assert await keeping


async def test_one_looks_when_woken_and_when_it_is_time_also_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_REST", 0.0)
    wake, enough = asyncio.Event(), asyncio.Event()
    looks, told = 0, list[Exception]()

    async def look() -> float:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise ValueError
        if looks == 4:
            enough.set()
        return 0.001 if looks == 1 else 3600.0

    looking = asyncio.create_task(whenever(wake, look, longest=0.001, failed=told.append))
    while looks < 3:
        await asyncio.sleep(0.001)
    wake.set()
    await asyncio.wait_for(enough.wait(), 120)
    await cancel(looking)
    assert [type(error) for error in told] == [ValueError]
