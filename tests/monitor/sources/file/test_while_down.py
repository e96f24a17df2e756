"""What happened to a log while nobody followed it."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from monitor.sources.file import fates
from monitor.sources.file.keeper import WATERMARK
from monitor.sources.file.life import Life
from monitor.sources.file.source import FileSource
from tests.fakes.intake import FakeIntake, caught_up, running, until
from tests.fakes.logs import append, compress, line

MAKE = Callable[..., FileSource]
pytestmark = pytest.mark.usefixtures("short")


def held(monkeypatch: pytest.MonkeyPatch, wanted: Callable[[Life], bool]) -> asyncio.Event:
    """No turn for these lives before this is set."""
    going_on, turn = asyncio.Event(), FileSource._turn

    async def late(source: FileSource, life: Life, *args: Any) -> None:
        if wanted(life):
            await going_on.wait()
        await turn(source, life, *args)

    monkeypatch.setattr(FileSource, "_turn", late)
    return going_on


async def rotated(log: Path, mark: int, number: int, suffix: str = "") -> None:
    """A file that came and went while nobody looked."""
    await asyncio.sleep(0.02)  # each has a time of its own
    append(log.with_name(f"app.log.{number}"), line(mark))
    if suffix:
        compress(log.with_name(f"app.log.{number}"), suffix)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_rotated_while_down(make: MAKE, intake: FakeIntake, log: Path, suffix: str, times: int) -> None:
    append(log, line(1, padding=2000))
    async with running(make()):
        await caught_up(intake, 1)
    append(log, line(2) + "no newline <3>")
    for mark in range(4, 4 + times):
        await asyncio.sleep(0.02)  # rotation and the last write differ in their time
        for number in range(mark, 0, -1):
            for end in ("", suffix):
                old = log.with_name(f"app.log.{number}{end}")
                if old.exists():
                    old.rename(log.with_name(f"app.log.{number + 1}{end}"))
        log.rename(log.with_name("app.log.1"))
        if suffix:
            compress(log.with_name("app.log.1"), suffix)
        append(log, line(mark))
    wanted = [1, 2, 3, *range(4, 4 + times)]
    async with running(make()):
        await caught_up(intake, *wanted)
        await asyncio.sleep(0.3)
    assert intake.hits == len(wanted), "nothing twice"
    async with running(make()):
        append(log, line(50))
        await caught_up(intake, *wanted, 50)
    assert intake.hits <= len(wanted) + 2  # the last line without newline may be looked at again
    assert not intake.lost


async def test_a_link_that_was_turned_to_another_file_while_down(
    make: MAKE, intake: FakeIntake, log: Path, tmp_path: Path
) -> None:
    (tmp_path / "pods").mkdir()
    first, second = tmp_path / "pods/0.log", tmp_path / "pods/1.log"
    append(first, line(1))
    log.symlink_to(first)
    async with running(make()):
        await caught_up(intake, 1)
    append(first, line(2))
    append(second, line(3))
    log.unlink()
    log.symlink_to(second)
    async with running(make()):
        await caught_up(intake, 1, 2, 3)
    assert intake.hits == 3


@pytest.mark.parametrize("how", ["renamed", "compressed", "copied"])
async def test_the_target_of_a_link_rotated_while_down(
    make: MAKE, intake: FakeIntake, log: Path, tmp_path: Path, how: str
) -> None:
    (tmp_path / "pods").mkdir()
    target, rotated = tmp_path / "pods/0.log", tmp_path / "pods/0.log.1"
    append(target, line(1))
    log.symlink_to(target)
    async with running(make()):
        await caught_up(intake, 1)
    append(target, line(2))
    if how == "copied":
        shutil.copy(target, rotated)
        os.truncate(target, 0)
    else:
        target.rename(rotated)
    if how == "compressed":
        compress(rotated, ".gz")
    append(target, line(3))
    async with running(make()):
        await caught_up(intake, 1, 2, 3)
    assert intake.hits == 3


async def test_copytruncated_while_down(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, line(1))
    async with running(make()):
        await caught_up(intake, 1)
    append(log, line(2))
    shutil.copyfile(log, log.with_name("app.log.1"))
    log.write_text(line(3) * 8)
    async with running(make()):
        await caught_up(intake, 1, 2, *[3] * 8)
    assert not intake.lost


async def test_old_rotated_files_are_left_alone(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log.with_name("app.log.1"), line(90))
    append(log.with_name("app.log.2"), line(91))
    compress(log.with_name("app.log.2"), ".gz")
    append(log, line(1))
    async with running(make()):
        await caught_up(intake, 1)
    log.rename(log.with_name("app.log.1"))
    append(log, line(2))
    async with running(make()):
        await caught_up(intake, 1, 2)
        await asyncio.sleep(0.3)
    assert intake.marks == [1, 2]


async def test_a_file_that_vanished_unread_is_entered_as_lost(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, line(1))
    async with running(make()):
        await caught_up(intake, 1)
        key = next(key for key in intake.saved if not key.startswith("@"))
    intake.saved[key] = dict(intake.saved[key]) | {"size": 1000}
    log.unlink()
    async with running(make()):
        await until(lambda: bool(intake.lost))
        await until(lambda: not intake.files())
    assert intake.lost == [("vanished", 1000 - len(line(1)), str(log))]


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


async def test_positions_of_files_no_longer_included_wait(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, line(1))
    async with running(make()):
        await caught_up(intake, 1)
    async with running(make(include=[f"{log.parent}/other/*.log"])):
        append(log, line(2))
        await asyncio.sleep(0.2)
    assert intake.marks == [1]
    async with running(make()):
        await caught_up(intake, 1, 2)
    assert intake.hits == 2


async def test_damaged_positions_are_ignored(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, line(1))
    intake.saved = {WATERMARK: {}, "a": {"path": 3}, "b": {}, "c": {"head": []}}
    async with running(make()):
        await caught_up(intake, 1)


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

    going_on = held(monkeypatch, lambda life: life.path == str(log))
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
    monkeypatch.setattr(fates, "SEARCHES", 1 << 30)
    intake.begun = False
    async with running(make()):
        await until(lambda: intake.begun)
        log.rename(log.with_name("app.log.0"))
        following.rename(log)
        await caught_up(intake, 1, 2, 3, 4, 5)
        await asyncio.sleep(0.2)
    assert intake.marks == [1, 2, 3, 4, 5]


async def test_killed_when_the_younger_of_two_archives_was_read(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(log, line(1))
    async with running(make()):
        await caught_up(intake, 1)
    log.rename(log.with_name("app.log.4"))
    await rotated(log, 2, 3, ".gz")
    await rotated(log, 3, 2, ".gz")
    await rotated(log, 4, 1)
    append(log, line(5))
    going_on = held(monkeypatch, lambda life: life.path.endswith("3.gz"))
    async with running(make()):
        await caught_up(intake, 1, 3, 4, 5)
        await until(lambda: sum("archive" in state for state in intake.files()) == 1)
    going_on.set()
    async with running(make()):
        await caught_up(intake, 1, 2, 3, 4, 5)
        await asyncio.sleep(0.2)
    assert intake.hits == 5


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


@pytest.mark.parametrize("restarted", ["when it was forgotten", "before it was compressed"])
async def test_a_file_that_was_read_and_forgotten_is_known_again_by_its_archive(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch, restarted: str
) -> None:
    """Also where the archive is younger than the log that came next, as loggers make it."""
    monkeypatch.setattr(fates, "ROTATED", 0.1)
    old, archive = log.with_name("app.log.1"), log.with_name("app.log.2.gz")
    append(log, line(1))
    async with running(make()):
        await caught_up(intake, 1)
        log.rename(old)
        append(log, line(2))
        await caught_up(intake, 1, 2)
        await until(lambda: len(intake.files()) == 1)
        if restarted == "when it was forgotten":
            archive.write_bytes(gzip.compress(old.read_bytes()))
            old.unlink()
    if restarted == "before it was compressed":
        archive.write_bytes(gzip.compress(old.read_bytes()))
        old.unlink()
    async with running(make()):
        log.rename(old)
        append(log, line(3))
        await caught_up(intake, 1, 2, 3)
        await asyncio.sleep(0.3)
    assert intake.marks == [1, 2, 3]
    assert not intake.lost


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
            await source._keeper._changes._lock.acquire()
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
            source._keeper._changes._lock.release()
        await caught_up(intake, 1, 2, 3, 4, 5, 6, 13, 15)
    assert not intake.lost


@pytest.mark.parametrize("include", [["app.log*"], ["app.log", "app.log.2"]])
async def test_what_came_after_a_followed_file_is_searched_for_once_descriptors_are_there(
    make: MAKE, intake: FakeIntake, log: Path, include: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has another name, which is followed as well, and what came between it and the new one was compressed."""
    followed = {"include": [str(log.with_name(name)) for name in include]}
    append(log, line(1))
    async with running(make(**followed)):
        await caught_up(intake, 1)
    log.rename(log.with_name("app.log.2"))
    await rotated(log, 2, 1, ".gz")
    await asyncio.sleep(0.02)
    append(log, line(3))
    real, short = os.scandir, True

    def scandir(path: Any = ".") -> Any:
        if short:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    intake.begun = False
    async with running(make(**followed)):
        await until(lambda: intake.begun)
        await asyncio.sleep(0.3)
        short = False
        await caught_up(intake, 1, 2, 3)
    assert not intake.lost


async def test_what_came_after_a_followed_file_is_searched_for_while_it_is_followed(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    source = make(include=[f"{log}*"])
    append(log, line(1))
    async with running(source):
        await caught_up(intake, 1)
        async with source._keeper._changes._lock:
            log.rename(log.with_name("app.log.2"))
            await rotated(log, 2, 1, ".gz")
            await asyncio.sleep(0.02)
            append(log, line(3))
        await caught_up(intake, 1, 2, 3)
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
