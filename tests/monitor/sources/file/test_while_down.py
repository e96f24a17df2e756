"""What happened to a log while nobody followed it."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from monitor.sources.file import source as module
from monitor.sources.file import transitions
from monitor.sources.file.source import FileSource
from monitor.sources.file.tracker import WATERMARK
from tests.fakes.intake import FakeIntake, caught_up, running, until
from tests.fakes.logs import append, compress, line
from tests.fakes.tracked_files import held, rotated

MAKE = Callable[..., FileSource]
pytestmark = pytest.mark.usefixtures("short")


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


async def test_killed_when_the_younger_of_two_archives_was_read(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.3)  # for the one that is held
    append(log, line(1))
    async with running(make()):
        await caught_up(intake, 1)
    log.rename(log.with_name("app.log.4"))
    await rotated(log, 2, 3, ".gz")
    await rotated(log, 3, 2, ".gz")
    await rotated(log, 4, 1)
    append(log, line(5))
    going_on = held(monkeypatch, lambda tracked: tracked.path.endswith("3.gz"))
    async with running(make()):
        await caught_up(intake, 1, 3, 4, 5)
        await until(lambda: sum("archive" in state for state in intake.files()) == 1)
    going_on.set()
    async with running(make()):
        await caught_up(intake, 1, 2, 3, 4, 5)
        await asyncio.sleep(0.2)
    assert intake.hits == 5


@pytest.mark.parametrize("restarted", ["when it was forgotten", "before it was compressed"])
async def test_a_file_that_was_read_and_forgotten_is_known_again_by_its_archive(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch, restarted: str
) -> None:
    """Also where the archive is younger than the log that came next, as loggers make it."""
    monkeypatch.setattr(transitions, "ROTATED", 0.1)
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


@pytest.mark.parametrize("include", [["app.log*"], ["app.log", "app.log.2"]])
async def test_what_came_after_a_followed_file_is_searched_for_once_descriptors_are_there(
    make: MAKE, intake: FakeIntake, log: Path, include: list[str], folders: Event
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
    folders.clear()
    intake.begun = False
    async with running(make(**followed)):
        await until(lambda: intake.begun)
        await asyncio.sleep(0.3)
        folders.set()
        await caught_up(intake, 1, 2, 3)
    assert not intake.lost


async def test_what_came_after_a_followed_file_is_searched_for_while_it_is_followed(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    source = make(include=[f"{log}*"])
    append(log, line(1))
    async with running(source):
        await caught_up(intake, 1)
        async with source._tracker.changes._lock:
            log.rename(log.with_name("app.log.2"))
            await rotated(log, 2, 1, ".gz")
            await asyncio.sleep(0.02)
            append(log, line(3))
        await caught_up(intake, 1, 2, 3)
    assert not intake.lost


async def test_a_followed_log_deleted_while_down_is_reported(make: MAKE, intake: FakeIntake, log: Path) -> None:
    """It may have been written to before; how much, nobody can know."""
    append(log, line(1))
    async with running(make()):
        await caught_up(intake, 1)
    append(log, line(2))
    log.unlink()
    async with running(make()):
        await until(lambda: intake.lost == [("vanished", 0, str(log))])


@pytest.mark.parametrize(("level", "written"), [(1, True), (1, False), (2, True), (4, True)])
@pytest.mark.parametrize("again", [False, True])
async def test_a_folder_above_a_followed_log_is_renamed_while_down(
    make: MAKE, intake: FakeIntake, tmp_path: Path, level: int, again: bool, written: bool
) -> None:
    """And made anew, or not; of an empty log only its inode and its name tell it."""
    log = tmp_path / "a/b/c/d/app.log"
    log.parent.mkdir(parents=True)
    append(log, line(1) if written else "")
    seen = [1] if written else []
    async with running(make(include=[str(log)])):
        await caught_up(intake, *seen)
        await until(lambda: [one for one in intake.files() if one["path"] == str(log)])
    append(log, line(2))
    folder = log.parents[level - 1]
    folder.rename(folder.with_name("old"))
    if again:
        log.parent.mkdir(parents=True)
        append(log, line(3))
    async with running(make(include=[str(log)])):
        await caught_up(intake, *seen, 2, *([3] if again else []))
    assert not intake.lost


async def entered(make: MAKE, intake: FakeIntake, patch: pytest.MonkeyPatch, log: Path, name: str) -> Path:
    """A rotated file and the log after it, which the monitor knew, and had read nothing of, when it was stopped."""
    old = log.with_name(name)
    append(old, line(1))
    await asyncio.sleep(0.02)  # each has a time of its own
    append(log, line(2))
    with patch.context() as stopped:
        held(stopped, lambda tracked: True)
        async with running(make(include=[f"{log}*"])):
            await until(lambda: len(intake.files()) == 2)
    assert not intake.hits
    return old


def forgotten(intake: FakeIntake, path: Path) -> bool:
    """Nobody searches for it any more."""
    return str(path) not in [state["path"] for state in intake.files()]


@pytest.mark.parametrize(
    ("old", "new", "time"),
    [
        ("app.log-20260102", "app.log-20260102.gz", "kept"),
        ("app.log-20260102", "app.log-20260102.bz2", "in whole seconds"),
        ("app.log-20260102", "app.log-20260102.gz", "anew"),
        ("app.log.1", "app.log.1.gz", "kept"),
        ("app.log.1", "app.log.2.gz", "kept"),
        ("app.log.1", "app.log.2.bz2", "in whole seconds"),
    ],
)
async def test_a_rotated_file_of_which_nothing_was_read_is_compressed(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, time: str
) -> None:
    rotated, archive = await entered(make, intake, monkeypatch, log, old), log.with_name(new)
    pack = bz2.compress if new.endswith(".bz2") else gzip.compress
    archive.write_bytes(pack(rotated.read_bytes()))
    if time != "anew":
        mtime = rotated.stat().st_mtime_ns
        os.utime(archive, ns=(mtime, mtime if time == "kept" else mtime // 10**9 * 10**9))
    rotated.unlink()
    async with running(make(include=[f"{log}*"])):
        await caught_up(intake, 1, 2)
        await until(lambda: forgotten(intake, rotated))
    assert intake.hits == 2, "nothing twice"
    assert not intake.lost


@pytest.mark.parametrize("old", ["app.log-20260102", "app.log.1"])
async def test_a_rotated_file_of_which_nothing_was_read_is_deleted_beside_archives_of_others(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch, old: str
) -> None:
    append(log.with_name("app.log-20260101"), line(90))
    compress(log.with_name("app.log-20260101"), ".gz")
    await asyncio.sleep(0.02)
    rotated = await entered(make, intake, monkeypatch, log, old)
    rotated.unlink()
    await asyncio.sleep(0.02)
    # What came later has its name by now, where names are given again.
    other = log.with_name("app.log.1" if old == "app.log.1" else "app.log-20260103")
    append(other, line(3))
    compress(other, ".gz")
    async with running(make(include=[f"{log}*"])):
        await caught_up(intake, 2, 3)
        await until(lambda: intake.lost)
        await until(lambda: forgotten(intake, rotated))
    assert intake.marks == [2, 3]
    assert intake.lost == [("vanished", 0, str(rotated))]


@pytest.mark.parametrize("include", ["app.log", "app.log*"])
@pytest.mark.parametrize("deleted", [False, True])
async def test_a_log_of_which_nothing_was_read_is_written_to_rotated_and_compressed(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch, deleted: bool, include: str
) -> None:
    """It may be the oldest that was written since; not so where older ones were deleted."""
    old = await entered(make, intake, monkeypatch, log, "app.log.1")
    with log.open("rb"), old.open("rb"):  # no other file gets their inodes
        await asyncio.sleep(0.02)
        append(log, line(3))
        old.rename(log.with_name("app.log.3"))
        log.rename(log.with_name("app.log.2"))
        compress(log.with_name("app.log.2"), ".gz")
        await rotated(log, 4, 1, ".gz")
        await asyncio.sleep(0.02)
        append(log, line(5))
        if deleted:
            log.with_name("app.log.2.gz").unlink()
            log.with_name("app.log.3").unlink()
        async with running(make(include=[str(log.with_name(include)), f"{log}.1"])):
            await caught_up(intake, *([4, 5] if deleted else [1, 2, 3, 4, 5]))
            await until(lambda: len(intake.lost) == 2 * deleted)
            await until(lambda: len(intake.files()) <= 2)
            await until(lambda: forgotten(intake, old))
    names = sorted(path for _, _, path in intake.lost)
    assert names == ([str(log), str(old)] if deleted else [])
    assert intake.hits == len(intake.marks)


@pytest.mark.parametrize(("old", "new"), [("app.log.1", "app.log.2"), ("app.log", "app.log.2")])
@pytest.mark.parametrize("include", ["app.log*", "app.log"])
async def test_one_of_which_nothing_was_read_is_given_another_name(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, include: str
) -> None:
    await entered(make, intake, monkeypatch, log, "app.log.1")
    if old == "app.log":
        append(log, line(3))
    log.with_name(old).rename(log.with_name(new))
    wanted = [1, 2] if old != "app.log" else [1, 2, 3]
    async with running(make(include=[str(log.with_name(include)), f"{log}.1"])):
        await caught_up(intake, *wanted)
        await until(lambda: forgotten(intake, log.with_name(old)))
    assert intake.hits == len(wanted), "nothing twice"
    assert not intake.lost


@pytest.mark.parametrize("once", [False, True])
async def test_compressed_while_it_waits_for_its_turn(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch, once: bool
) -> None:
    rotated = await entered(make, intake, monkeypatch, log, "app.log.1")
    source = make(include=[f"{log}*"])
    if once:
        compress(rotated, ".gz")
        await source.run(True)
        assert intake.marks == [1, 2]
    else:
        source._schedule.open_max = 0  # or it is read from the file itself
        going_on = held(monkeypatch, lambda tracked: tracked.path == str(rotated))
        async with running(source):
            await caught_up(intake, 2)
            compress(rotated, ".gz")
            await until(lambda: source._registry.shown(str(rotated)) is None)
            await asyncio.sleep(0.3)
            going_on.set()
            await caught_up(intake, 1, 2)
            await until(lambda: forgotten(intake, rotated))
    assert intake.hits == 2, "nothing twice"
    assert not intake.lost
