"""Another file has the inode that one had: of a deleted file, or on a restored disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.sources.file import transitions
from monitor.sources.file.source import FileSource
from tests.fakes.intake import FakeIntake, caught_up, running, until
from tests.fakes.logs import append, line
from tests.fakes.tracked_files import held, rotated

MAKE = Callable[..., FileSource]
pytestmark = pytest.mark.usefixtures("short")


async def test_a_restored_disk_with_other_inodes_and_device_is_continued(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    append(log, line(1))
    async with running(make()):
        await caught_up(intake, 1)
    key = next(key for key in intake.saved if not key.startswith("@"))
    intake.saved[key] = dict(intake.saved[key]) | {"ino": 1, "dev": 1}
    append(log, line(2))
    async with running(make()):
        await caught_up(intake, 1, 2)
    assert intake.hits == 2
    assert len(intake.files()) == 1


@pytest.mark.parametrize("grown", [False, True])
async def test_on_a_restored_disk_two_logs_may_have_each_others_inodes(
    make: MAKE, intake: FakeIntake, log: Path, grown: bool
) -> None:
    other = log.with_name("other.log")
    followed = {"include": [f"{log.parent}/*.log"]}
    append(log, line(1))
    append(other, line(2, padding=500))
    async with running(make(**followed)):
        await caught_up(intake, 1, 2)
    (one, two) = [key for key in intake.saved if not key.startswith("@")]
    inodes = {key: intake.saved[key]["ino"] for key in (one, two)}
    for key, inode in ((one, inodes[two]), (two, inodes[one])):
        intake.saved[key] = dict(intake.saved[key]) | {"ino": inode}
    marks = [3, 4] if grown else []
    for path, mark in zip((log, other), marks, strict=False):
        append(path, line(mark))
    async with running(make(**followed)):
        await caught_up(intake, 1, 2, *marks)
        await asyncio.sleep(0.3)
    assert intake.marks == [1, 2, *marks]
    assert not intake.lost


@pytest.mark.parametrize("killed", [False, True], ids=["in one go", "killed in between"])
async def test_a_deleted_file_whose_inode_was_given_on_brings_nothing_up_again(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """What was written after it was found after the log that came next, read, and as it was compressed forgotten."""
    append(log, line(1))
    with log.open("ab"):  # held, as long as somebody may write to it
        async with running(make()):
            await caught_up(intake, 1)
            log.unlink()
            await asyncio.sleep(0.02)
            append(log, line(2))
            await caught_up(intake, 1, 2)
            await until(lambda: len(intake.files()) == 2)
    log.rename(log.with_name("app.log.3"))
    await rotated(log, 3, 2, ".gz")
    await rotated(log, 4, 1)
    append(log, line(5))
    key = next(key for key, state in intake.saved.items() if state.get("loose"))
    intake.saved[key] = dict(intake.saved[key]) | {"ino": log.stat().st_ino}

    going_on = held(monkeypatch, lambda tracked: tracked.path == str(log))
    async with running(make()):
        await until(lambda: 3 in intake.marks and not any(state.get("archive") for state in intake.files()))
        if not killed:
            going_on.set()
            await caught_up(intake, 1, 2, 3, 4, 5)
    going_on.set()
    async with running(make()):
        await caught_up(intake, 1, 2, 3, 4, 5)
        await until(lambda: bool(intake.saved[key].get("ended")))
        await asyncio.sleep(0.2)
    assert intake.marks == [1, 2, 3, 4, 5]
    assert not intake.lost


async def test_nor_if_its_inode_is_given_on_after_the_restart(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(log, line(1))
    async with running(make()):
        await caught_up(intake, 1)
    key, deleted = next((key, dict(state)) for key, state in intake.saved.items() if not key.startswith("@"))
    log.rename(log.with_name("app.log.3"))
    await rotated(log, 2, 2, ".gz")
    await rotated(log, 3, 1)
    append(log, line(4))
    async with running(make()):
        await caught_up(intake, 1, 2, 3, 4)
        await until(lambda: not any("archive" in state for state in intake.files()))
    log.with_name("app.log.3").unlink()
    following = log.with_name("following")
    append(following, line(5))
    intake.saved[key] = deleted | {"ino": following.stat().st_ino}
    monkeypatch.setattr(transitions, "SEARCHES", 1 << 30)
    intake.begun = False
    async with running(make()):
        await until(lambda: intake.begun)
        log.rename(log.with_name("app.log.0"))
        following.rename(log)
        await caught_up(intake, 1, 2, 3, 4, 5)
        await asyncio.sleep(0.2)
    assert intake.marks == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("include", ["app.log", "app.log*"])
@pytest.mark.parametrize("given", [None, "app.log.1", "app.log.2"], ids=lambda given: f"inode given to {given}")
async def test_one_that_was_met_and_never_read_is_found_compressed(
    make: MAKE, intake: FakeIntake, log: Path, include: str, given: str | None
) -> None:
    append(log, line(1))
    followed = {"include": [str(log.with_name(include))]}
    async with running(make(**followed)):
        await caught_up(intake, 1)
    key, state = next((key, dict(state)) for key, state in intake.saved.items() if not key.startswith("@"))
    await rotated(log, 2, 3, ".gz")
    await rotated(log, 3, 2)
    await rotated(log, 4, 1)
    archive, inode = log.with_name("app.log.3.gz").stat(), log.with_name(given).stat().st_ino if given else 1
    nothing = {"offset": 0, "size": 0, "head": [0, ""], "body": [0, ""], "mark": [0, ""], "known": [-1, -1, -1]}
    met = {"path": f"{log}.1", "ino": inode, "mtime": archive.st_mtime_ns, "there": len(line(2)), "loose": True}
    intake.saved["met"] = state | nothing | met
    await asyncio.sleep(0.02)
    append(log, line(5))
    intake.saved[key] = state | {"mtime": log.stat().st_mtime_ns}
    async with running(make(**followed)):
        await caught_up(intake, *range(1, 6))
