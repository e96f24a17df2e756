from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from monitor.common import tasks
from monitor.common.scheduler import Scheduler
from monitor.daemon.jobs import JOBS, BackgroundJob, EndedError, Jobs, Policy
from monitor.delivery import Delivery
from monitor.store import StoreError
from monitor.store.retention import RetentionRepository
from monitor.store.runs import Runs
from tests.fakes.clock import turn
from tests.fakes.intake import until
from tests.fakes.setup import Setup, running, told
from tests.fakes.webhook import FakeWebhook

NOBODY: Any = None  # parts that no work of a test needs


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "FIRST", 0.001)


class Said:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []  # title, text, key
        self.over: list[tuple[str, str]] = []  # key, text


def job(work: Callable[[], Awaitable[object]], policy: Policy = "again", **more: Any) -> BackgroundJob:
    return BackgroundJob("digging", "day", lambda parts: work(), policy, **more)


def made(said: Said, *table: BackgroundJob) -> Jobs:
    return Jobs(
        NOBODY,
        Scheduler(),
        lambda title, text, key: said.told.append((title, text, key)),
        lambda key, text: said.over.append((key, text)),
        table,
    )


class Failing:
    """Work that fails so many times, and then goes on."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.begun = 0

    async def __call__(self) -> None:
        self.begun += 1
        if self.failures:
            raise self.failures.pop(0)
        await asyncio.Event().wait()


async def test_one_that_fails_is_told_and_begun_anew_and_told_to_be_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "STEADY", 0.01)
    work, said = Failing(RuntimeError("unexpected s3cr3t"), KeyError("s3cr3t")), Said()
    async with made(said, job(work)) as table, table.during("day"):
        await until(lambda: ("part:digging", "It works again.") in said.over)
    assert work.begun == 3
    assert [text.partition(".")[0] for _, text, _ in said.told] == ["RuntimeError", "KeyError"]
    title, text, key = said.told[0]
    assert (title, key) == ("The monitor's digging failed", "part:digging")
    assert text.endswith("It is begun anew, after pauses of up to 60 s.")
    assert "s3cr3t" not in str(said.told)


@pytest.mark.parametrize("error", [None, asyncio.CancelledError()])
async def test_none_ends_unheard(error: BaseException | None) -> None:
    """Neither by coming to an end, nor by a cancellation that was somebody else's."""
    begun, said = 0, Said()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 2:
            await asyncio.Event().wait()
        if error is not None:
            raise error

    async with made(said, job(work)) as table, table.during("day"):
        await until(lambda: begun == 2)
    assert len(said.told) == 1


@pytest.mark.parametrize("error", [RuntimeError("s3cr3t"), None])
async def test_one_that_nothing_goes_on_without_ends_the_group(
    error: BaseException | None, caplog: pytest.LogCaptureFixture
) -> None:
    other, said, ended = Failing(), Said(), asyncio.Event()

    async def work() -> None:
        await until(lambda: other.begun)
        if error is not None:
            raise error

    async def live() -> None:
        async with (
            made(said, job(work, "ends"), BackgroundJob("other", "day", lambda _: other())) as table,
            table.during("day"),
        ):
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)  # what is there to be done at the end is done
                ended.set()

    with pytest.raises(EndedError, match="digging"):
        await live()
    assert ended.is_set()
    assert said.told == []
    assert "s3cr3t" not in caplog.text


async def test_what_the_body_raises_is_no_group() -> None:
    async def live() -> None:
        async with made(Said(), job(Failing())) as table, table.during("day"):
            raise LookupError("as it was")

    with pytest.raises(LookupError, match="as it was"):
        await live()


async def test_those_of_a_phase_begin_with_it_and_end_with_it_in_the_other_order() -> None:
    ended: list[str] = []

    def named(name: str, phase: str) -> BackgroundJob:
        async def work(parts: object) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append(name)

        return BackgroundJob(name, phase, work)

    table = made(Said(), named("first", "day"), named("never", "night"), named("second", "day"))
    async with table:
        async with table.during("day") as tasks:
            assert [task.get_name() for task in tasks] == ["first", "second"]
            await asyncio.sleep(0)
        assert ended == ["second", "first"]


async def test_rounds_come_by_the_schedule_and_wait_for_a_database_that_is_away() -> None:
    work, said = Failing(StoreError("locked")), Said()
    async with made(said, job(work, every=3600.0)) as table, table.during("day"):
        await until(lambda: work.begun == 1)
        turn(2 * 3600.0)
        await until(lambda: work.begun == 2)
    assert said.told == []


async def test_a_round_that_fails_is_told_and_begun_anew() -> None:
    work, said = Failing(RuntimeError("s3cr3t")), Said()
    async with made(said, job(work, every=3600.0)) as table, table.during("day"):
        await until(lambda: work.begun == 2)
    assert len(said.told) == 1
    assert "s3cr3t" not in str(said.told)


def test_every_row_of_the_table_has_a_name_of_its_own_and_rounds_of_a_minute_and_more() -> None:
    names = [one.name for one in JOBS]
    assert len(set(names)) == len(names)
    assert all(one.every is None or one.every >= 60.0 for one in JOBS)


async def test_no_part_of_the_daemon_ends_unheard(
    site: Setup, hook: FakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[str] = []

    def failing(name: str) -> Callable[..., Awaitable[None]]:
        failures = [RuntimeError("unexpected s3cr3t")]

        async def sweep(*_: object, **__: object) -> None:
            if failures:
                raise failures.pop()
            swept.append(name)

        return sweep

    monkeypatch.setattr(Runs, "sweep", failing("deadlines"))
    monkeypatch.setattr(RetentionRepository, "sweep", failing("retention"))
    async with running(site.daemon()) as task:
        for part in ("deadlines", "retention"):
            await told(hook, f"The monitor's {part} failed")
        await until(lambda: set(swept) == {"deadlines", "retention"})
        there = {one.get_name() for one in asyncio.all_tasks()}
        assert {one.name for one in JOBS} <= there
    assert task.result() == 0
    assert "s3cr3t" not in str(hook.payloads)
    assert not {one.get_name() for one in asyncio.all_tasks()} & {one.name for one in JOBS}


async def test_a_monitor_that_cannot_deliver_any_more_ends_with_1(site: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = asyncio.Event()

    async def run(self: Delivery) -> None:
        await failing.wait()
        raise RuntimeError("unexpected s3cr3t")

    monkeypatch.setattr(Delivery, "run", run)
    daemon = site.daemon()
    assert await asyncio.wait_for(daemon.run(on_ready=lambda _: failing.set()), 120) == 1
