"""What befalls a log between two looks at it, or just as the monitor is stopped."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.sources.file.source import FileSource
from monitor.sources.file.tracked_file import TrackedFile
from monitor.sources.file.tracker import Tracker
from tests.fakes.intake import FakeIntake, caught_up, running, until
from tests.fakes.logs import append, compress, line
from tests.fakes.tracked_files import held

MAKE = Callable[..., FileSource]
pytestmark = pytest.mark.usefixtures("short")


class Looks(asyncio.Event):
    """Nobody looks while this is cleared, and then at `app.log` first."""

    def __init__(self) -> None:
        super().__init__()
        self.set()
        self.under_way = 0
        self.only: list[str] | None = None

    async def stop(self) -> None:
        """From now on nobody looks, and nobody is about to."""
        self.clear()
        await until(lambda: not self.under_way)

    def allow_one(self, path: Path) -> None:
        """The next look, whoever waits for it, is at this path alone, and the last one."""
        self.only = [str(path)]
        self.set()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    look, looks = Tracker.look, Looks()

    async def held(keeper: Tracker, paths: set[str] | None, tended: Any) -> Any:
        while not looks.is_set():
            await looks.wait()
        if looks.only is not None:
            paths, tended, looks.only = set(looks.only), [], None
            looks.clear()
        looks.under_way += 1
        try:
            return await look(keeper, sorted(paths) if paths else paths, tended)
        finally:
            looks.under_way -= 1

    monkeypatch.setattr(Tracker, "look", held)
    return looks


def claim(source: FileSource, path: Path, file: Path) -> None:
    """Have a tracked file of which nothing was read claim a file by its inode, as one does whose own was deleted."""
    status = file.stat()
    source._registry.add(TrackedFile(str(path), (status.st_dev, status.st_ino), mtime=1))


@pytest.mark.parametrize("read", [False, True])
async def test_followed_rotated_files_are_entered_with_the_log_after_them(
    make: MAKE, intake: FakeIntake, log: Path, looks: Looks, monkeypatch: pytest.MonkeyPatch, read: bool
) -> None:
    """`read`: so are they before the monitor is stopped."""
    append(log, line(1))
    first, second = log.with_name("app.log-20260101"), log.with_name("app.log-20260102")
    with monkeypatch.context() as stopped:
        going_on = held(stopped, lambda tracked: tracked.path != str(log) or tracked.before is not None)
        async with running(make(include=[f"{log}*"])):
            await caught_up(intake, 1)
            await looks.stop()
            log.rename(first)
            await asyncio.sleep(0.02)  # what is written later has a later time
            append(log, line(2))
            log.rename(second)
            await asyncio.sleep(0.02)
            append(log, line(3))
            inode = log.stat().st_ino
            looks.allow_one(log)  # told of it by an event, and of nothing else any more
            await until(lambda: inode in [state["ino"] for state in intake.files()])
            if read:
                going_on.set()
                await caught_up(intake, 1, 2, 3)
    assert intake.marks == ([1, 2, 3] if read else [1])
    compress(second, ".gz")
    looks.set()
    async with running(make(include=[f"{log}*"])):
        await caught_up(intake, 1, 2, 3)
        await until(lambda: str(second) not in [state["path"] for state in intake.files()])
    assert intake.marks == [1, 2, 3]
    assert not intake.lost


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_log_that_came_and_went_after_a_look_at_which_there_was_none(
    make: MAKE, intake: FakeIntake, log: Path, looks: Looks, compressed: bool
) -> None:
    append(log, line(1))
    source = make()
    async with running(source):
        await caught_up(intake, 1)
        log.rename(log.with_name("app.log-20260101"))
        await until(lambda: source._registry.shown(str(log)) is None)
        await looks.stop()
        await asyncio.sleep(0.02)  # what is written later has a later time
        append(log, line(2))
        log.rename(log.with_name("app.log-20260102"))
        if compressed:
            compress(log.with_name("app.log-20260102"), ".gz")
        append(log, line(3))
        looks.set()
        await caught_up(intake, 1, 2, 3)
    assert intake.marks == [1, 2, 3]
    assert not intake.lost


async def test_a_log_that_came_and_went_after_the_one_before_it_was_seen_under_its_new_name(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    append(log, line(1))
    source = make(include=[f"{log}*"])
    first = log.with_name("app.log-20260101")
    async with running(source):
        await caught_up(intake, 1)
        log.rename(first)
        await until(lambda: any(state["path"] == str(first) for state in intake.files()))
    await asyncio.sleep(0.02)
    append(log, line(2))
    log.rename(log.with_name("app.log-20260102"))
    compress(log.with_name("app.log-20260102"), ".gz")
    append(log, line(3))
    async with running(make(include=[f"{log}*"])):
        await caught_up(intake, 1, 2, 3)
    assert intake.marks == [1, 2, 3]
    assert not intake.lost


async def test_saved_by_an_editor_into_a_file_that_one_never_read_claims(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    append(log, line(1))
    source = make()
    async with running(source):
        await caught_up(intake, 1)
        other = log.with_name(".app.log.swp")
        other.write_text(line(1) + line(2))
        claim(source, log, other)
        other.rename(log)
        await caught_up(intake, 1, 2)
    assert intake.marks == [1, 2]
    assert not intake.lost


async def test_copied_into_a_file_that_one_never_read_claims(
    make: MAKE, intake: FakeIntake, log: Path, looks: Looks
) -> None:
    append(log, line(1))
    source = make(include=[f"{log}*"])
    copy = log.with_name("app.log.1")
    async with running(source):
        await caught_up(intake, 1)
        await looks.stop()
        shutil.copyfile(log, copy)
        claim(source, copy, copy)
        looks.set()
        await until(lambda: source._registry.shown(str(copy)) is not None)
        os.truncate(log, 0)
        append(log, line(2))
        await caught_up(intake, 1, 2)
    assert intake.marks == [1, 2]


async def test_an_empty_rotated_file_becomes_the_log_and_loses_its_name_in_one_look(
    make: MAKE, intake: FakeIntake, log: Path, looks: Looks
) -> None:
    append(log, line(1))
    rotated = log.with_name("app.log.1")
    rotated.touch()
    source = make(include=[f"{log}*"])
    async with running(source):
        await caught_up(intake, 1)
        await looks.stop()
        empty = source._registry.shown(str(rotated))
        assert empty is not None
        await until(lambda: not empty.busy)
        source._schedule.shut(empty)
        append(rotated, line(2))
        rotated.rename(log)
        looks.set()
        await caught_up(intake, 1, 2)
        await until(lambda: source._registry.shown(str(log)) is not None)
        shutil.copyfile(log, rotated)
        os.truncate(log, 0)
        append(log, line(3))
        await caught_up(intake, 1, 2, 3)
    assert intake.marks == [1, 2, 3]
    assert not intake.lost


@pytest.mark.parametrize("copy", [False, True])
async def test_an_archive_in_a_file_that_was_another_unread_one_before(
    make: MAKE, intake: FakeIntake, log: Path, copy: bool
) -> None:
    append(log, line(1))
    source = make()
    async with running(source):
        await caught_up(intake, 1)
        rotated = log.with_name("app.log.2")
        append(rotated, line(1 if copy else 2))
        compress(rotated, ".gz")
        archive = log.with_name("app.log.2.gz")
        status = archive.stat()
        tracked = TrackedFile(str(archive), (status.st_dev, status.st_ino), archive=True, there=20, mtime=1)
        source._registry.add(tracked)
        source._schedule.want(tracked)
        await until(lambda: tracked.ended)
    assert intake.marks == ([1] if copy else [1, 2])
    assert not intake.lost


@pytest.mark.parametrize("to", ["app.log.1", "old/app.log.1", "old/app.log", "../old/app.log-20261129"])
@pytest.mark.parametrize("down", [False, True])
async def test_an_empty_log_shut_for_want_of_descriptors_is_found_when_it_was_written_and_put_away(
    make: MAKE, intake: FakeIntake, log: Path, looks: Looks, to: str, down: bool
) -> None:
    """Nothing was read of it, so that only its inode and its name tell it."""
    log.touch()
    target = (log.parent / to).resolve()
    target.parent.mkdir(exist_ok=True)
    append(target.with_name("another.log.1"), line(90))  # nothing that is ours
    source = make()
    async with running(source):
        await until(lambda: source._registry.shown(str(log)) is not None)
        empty = source._registry.shown(str(log))
        assert empty is not None
        await until(lambda: not empty.busy and empty.looked_into)
        if not down:
            await looks.stop()
            source._schedule.shut(empty)
            empty.unopened = True
            append(log, line(1))
            log.rename(target)
            append(log, line(2))
            looks.set()
            await caught_up(intake, 1, 2)
    if down:
        append(log, line(1))
        log.rename(target)
        append(log, line(2))
        async with running(make()):
            await caught_up(intake, 1, 2)
    assert intake.marks == [1, 2]
    assert not intake.lost
