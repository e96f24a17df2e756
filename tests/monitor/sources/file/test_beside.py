"""Files beside a log, which hide nothing of it: logs whose names are like its rotated ones, archives, older ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from monitor.sources.file.source import FileSource
from tests.fakes.intake import FakeIntake, caught_up, running, until
from tests.fakes.logs import append, compress, line
from tests.fakes.tracked_files import rotated

MAKE = Callable[..., FileSource]
pytestmark = pytest.mark.usefixtures("short")


@pytest.mark.parametrize("include", ["app-*.log", "app-1.log", "app*.log"])
async def test_logs_that_bear_numbers_are_logs_of_their_own(
    make: MAKE, intake: FakeIntake, log: Path, include: str
) -> None:
    """Each may have been app.log. Rotated twice, one that was not written last is searched for, too."""
    one, two = log.with_name("app-1.log"), log.with_name("app-2.log")
    append(one, line(1))
    await asyncio.sleep(0.02)
    append(two, line(2))
    append(log, line(0))
    followed = {"include": [str(log.with_name(include)), str(two)]}
    before = [0, 1, 2] if include == "app*.log" else [1, 2]
    async with running(make(**followed)):
        await caught_up(intake, *before)
    one.rename(log.with_name("app-1.log.2"))
    await asyncio.sleep(0.02)
    append(log.with_name("app-1.log.1"), line(3))
    append(one, line(4))
    async with running(make(**followed)):
        await caught_up(intake, *before, 3, 4)


async def test_a_rotated_file_that_was_written_last_hides_none(make: MAKE, intake: FakeIntake, log: Path) -> None:
    """It is followed and lies where it lay, so that nobody asks what came after it."""
    dated = log.with_name("app.log-20261124")
    append(dated, line(1))
    append(log, line(2))
    async with running(make(include=[f"{log}*"])):
        await caught_up(intake, 1, 2)
        await asyncio.sleep(0.02)
        append(dated, line(3))
        await caught_up(intake, 1, 2, 3)
    with log.open("rb"):  # so that its inode is not given on
        log.rename(log.with_name("app.log-20261125"))
        compress(log.with_name("app.log-20261125"), ".gz")
        await asyncio.sleep(0.02)
        append(log.with_name("app.log-20261126"), line(4))
        compress(log.with_name("app.log-20261126"), ".gz")
        append(log, line(5))
    async with running(make(include=[f"{log}*"])):
        await caught_up(intake, 1, 2, 3, 4, 5)
        await asyncio.sleep(0.2)
    assert intake.hits == 5


async def test_an_older_rotated_file_that_is_followed_brings_no_archive_up_again(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    followed = {"include": [f"{log}*"], "exclude": ["app.log.4"]}
    append(log, line(1))
    async with running(make(**followed)):
        await caught_up(intake, 1)
    log.rename(log.with_name("app.log.3"))
    await rotated(log, 2, 2, ".gz")
    await rotated(log, 3, 1)
    append(log, line(4))
    async with running(make(**followed)):
        await caught_up(intake, 1, 2, 3, 4)
        await until(lambda: not any("archive" in state for state in intake.files()))
    append(log, line(5))
    async with running(make(**followed)):
        await caught_up(intake, 1, 2, 3, 4, 5)
        log.with_name("app.log.3").rename(log.with_name("app.log.4"))
        await until(lambda: any(state["path"].endswith("4") for state in intake.files()))
        append(log, line(6))
        await caught_up(intake, 1, 2, 3, 4, 5, 6)
        await asyncio.sleep(0.2)
    assert intake.marks == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("down", [True, False])
@pytest.mark.parametrize("first", ["web", "web.1"])
async def test_a_log_that_looks_like_the_rotated_one_beside_it_is_a_log_of_its_own(
    make: MAKE, intake: FakeIntake, log: Path, first: str, down: bool
) -> None:
    """Each is rotated twice before anybody looks again."""
    one = log.with_name(first)
    other = log.with_name({"web": "web.1", "web.1": "web"}[first])
    followed = {"include": [str(one), str(other)]}
    append(one, line(1))
    append(other, line(2))
    source = make(**followed)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(source))
        await caught_up(intake, 1, 2)
        if down:
            await stack.aclose()
        else:
            await source._tracker.changes._lock.acquire()
        for mark, path in ((3, one), (5, other)):
            await asyncio.sleep(0.02)
            append(path, line(mark))
            path.rename(f"{path}-20261126")
            await asyncio.sleep(0.02)
            append(path, line(mark + 1))
            path.rename(f"{path}-20261127")
            append(path, line(mark + 10))
        if down:
            await stack.enter_async_context(running(make(**followed)))
        else:
            source._tracker.changes._lock.release()
        await caught_up(intake, 1, 2, 3, 4, 5, 6, 13, 15)
    assert not intake.lost


async def test_a_rotated_file_of_a_log_that_bears_a_number_hides_none_of_the_log_without(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    beside = log.with_name("app-1.log")
    followed = {"include": [str(log), str(log.with_name("app-[0-9].log"))]}
    append(log, line(1))
    append(beside, line(2))
    async with running(make(**followed)):
        await caught_up(intake, 1, 2)
        beside.rename(log.with_name("app-1.log.1"))
        await asyncio.sleep(0.02)
        append(log.with_name("app-1.log.1"), line(3))
        append(beside, line(4))
        await caught_up(intake, 1, 2, 3, 4)
        await until(lambda: all(state["offset"] == state["size"] for state in intake.files()))
    log.rename(log.with_name("app.log.2"))
    await rotated(log, 5, 1)
    append(log, line(6))
    async with running(make(**followed)):
        await caught_up(intake, 1, 2, 3, 4, 5, 6)
    assert not intake.lost
