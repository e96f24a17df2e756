"""What services and logrotate do to a log while it is followed."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.sources.file import tracker, transitions
from monitor.sources.file.source import FileSource
from monitor.sources.file.tracked_file import TrackedFile
from monitor.sources.file.tracker import Tracker
from tests.fakes.intake import FakeIntake, caught_up, running, until
from tests.fakes.logs import append, compress, line

MAKE = Callable[..., FileSource]
pytestmark = pytest.mark.usefixtures("short")


async def test_rename_and_create(make: MAKE, intake: FakeIntake, log: Path) -> None:
    async with running(make()):
        append(log, line(1))
        await caught_up(intake, 1)
        old = log.open("ab")
        append(log, line(2))
        log.rename(log.with_name("app.log.1"))
        append(log, line(3))
        old.write(line(4).encode())
        old.flush()
        await caught_up(intake, 1, 2, 3, 4)
        await asyncio.sleep(0.3)
        old.write(line(5).encode())
        old.flush()
        await caught_up(intake, 1, 2, 3, 4, 5)
        old.close()
    assert intake.hits == 5
    assert not intake.lost


async def test_rotation_faster_than_reading(make: MAKE, intake: FakeIntake, log: Path) -> None:
    async with running(make()):
        append(log, line(0))
        await caught_up(intake, 0)
        for mark in range(1, 30):
            for number in range(mark, 0, -1):
                if number > 1:
                    log.with_name(f"app.log.{number - 1}").rename(log.with_name(f"app.log.{number}"))
            log.rename(log.with_name("app.log.1"))
            append(log, line(mark))
            if mark % 5 == 0:
                await asyncio.sleep(random.Random(mark).random() * 0.1)
        await caught_up(intake, *range(30))
    assert intake.hits == 30
    assert not intake.lost


async def test_rotated_files_that_the_glob_takes_too_are_read_once(make: MAKE, intake: FakeIntake, log: Path) -> None:
    async with running(make(include=[f"{log}*"])):
        for mark in range(4):
            append(log, line(mark))
            await caught_up(intake, *range(mark + 1))
            for number in range(mark, 0, -1):
                log.with_name(f"app.log.{number}").rename(log.with_name(f"app.log.{number + 1}"))
            log.rename(log.with_name("app.log.1"))
        append(log, line(4))
        await caught_up(intake, *range(5))
    assert intake.hits == 5


@pytest.mark.parametrize("takes_copy", [False, True])
async def test_copytruncate(make: MAKE, intake: FakeIntake, log: Path, takes_copy: bool) -> None:
    async with running(make(include=[f"{log}*" if takes_copy else str(log)])):
        with log.open("ab") as writer:
            for mark in range(6):
                writer.write(line(mark, padding=100 * mark).encode())
                writer.flush()
                await caught_up(intake, *range(mark + 1))
                shutil.copyfile(log, log.with_name("app.log.1"))
                os.truncate(log, 0)
                await asyncio.sleep(0.02 * mark)
        await asyncio.sleep(0.3)
        await caught_up(intake, *range(6))
    assert intake.hits == 6
    assert not intake.lost


async def test_copytruncate_before_the_reader_caught_up_is_finished_in_the_copy(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    async with running(make()):
        append(log, line(1))
        await caught_up(intake, 1)
        intake.gate.clear()
        append(log, line(2))
        await asyncio.sleep(0.1)
        append(log, line(3))
        shutil.copyfile(log, log.with_name("app.log.1"))
        os.truncate(log, 0)
        append(log, line(4))
        intake.gate.set()
        await caught_up(intake, 1, 2, 3, 4)
    assert not intake.lost


@pytest.mark.parametrize("copied", [True, False])
async def test_what_a_look_saw_of_the_next_content_is_not_lost(
    make: MAKE, intake: FakeIntake, log: Path, copied: bool
) -> None:
    """Truncated and filled anew while a turn waits for the store."""
    append(log, line(1))
    source = make()
    async with running(source):
        await caught_up(intake, 1)
        await until(lambda: any(state["offset"] for state in intake.files()))
        intake.gate.clear()
        scanned = intake.scanned
        append(log, line(2))
        await until(lambda: intake.scanned > scanned)
        if copied:
            shutil.copyfile(log, log.with_name("app.log.1"))
        log.write_text("".join(line(mark) for mark in range(3, 9)))
        await until(lambda: any(tracked.there == log.stat().st_size for tracked in source._registry))
        intake.gate.set()
        await caught_up(intake, *range(1, 9))
    assert not intake.lost


async def test_truncation_without_a_copy_is_entered_as_lost(make: MAKE, intake: FakeIntake, log: Path) -> None:
    source = make()
    async with running(source):
        append(log, line(1))
        await caught_up(intake, 1)
        intake.gate.clear()
        before = intake.scanned
        append(log, line(2))
        await until(lambda: intake.scanned > before)
        append(log, line(3))
        tracked = source._registry.shown(str(log))
        assert tracked is not None
        await until(lambda: tracked.grown[0] == log.stat().st_size)
        os.truncate(log, 0)
        append(log, line(4))
        intake.gate.set()
        await caught_up(intake, 1, 2, 4)
        await until(lambda: bool(intake.lost))
    assert intake.lost == [("truncated", len(line(3)), str(log))]


@pytest.mark.parametrize("down", [False, True])
async def test_truncated_and_regrown_past_the_offset(make: MAKE, intake: FakeIntake, log: Path, down: bool) -> None:
    append(log, line(1) * 3)
    source = make()
    if down:
        async with running(source):
            await caught_up(intake, 1, 1, 1)
        source = make()
        log.write_text("".join(line(mark) for mark in range(2, 12)))
    async with running(source):
        if not down:
            await caught_up(intake, 1, 1, 1)
            log.write_text("".join(line(mark) for mark in range(2, 12)))
        await caught_up(intake, 1, 1, 1, *range(2, 12))


async def test_regrown_with_the_same_tail_but_another_head(make: MAKE, intake: FakeIntake, log: Path) -> None:
    tail = "=" * 400 + "\n"
    log.write_text(line(1) + tail)
    async with running(make()):
        await caught_up(intake, 1)
    log.write_text(line(2) + tail + line(3))
    async with running(make()):
        await caught_up(intake, 1, 2, 3)


async def test_holes_left_by_a_writer_without_append(make: MAKE, intake: FakeIntake, log: Path) -> None:
    with log.open("wb") as writer:
        writer.write(line(1, padding=8 << 20).encode())
        writer.flush()
        async with running(make()):
            await caught_up(intake, 1)
            os.truncate(log, 0)
            scanned = intake.scanned
            writer.write(line(2).encode())
            writer.flush()
            await caught_up(intake, 1, 2)
            assert intake.scanned - scanned < 2 << 20, "the hole was not read"
            writer.write(line(3).encode())
            writer.flush()
            await caught_up(intake, 1, 2, 3)
    assert log.stat().st_blocks * 512 < 1 << 20


async def test_space_set_aside_is_read_as_it_fills(make: MAKE, intake: FakeIntake, log: Path) -> None:
    log.touch()
    os.truncate(log, 32 << 20)
    async with running(make()):
        with log.open("r+b") as writer:
            for mark in range(1, 40):
                writer.write(line(mark, padding=1000).encode())
                writer.flush()
                if mark % 10 == 0:
                    await caught_up(intake, *range(1, mark + 1))
        await caught_up(intake, *range(1, 40))


async def test_deleted_while_open_is_read_to_its_end_and_let_go(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transitions, "DELETED", 0.3)

    def held() -> list[str]:
        return [name for fd in os.listdir("/proc/self/fd") if str(log) in (name := _link(fd))]

    with log.open("ab") as writer:
        async with running(make()):
            writer.write(line(1).encode())
            writer.flush()
            await caught_up(intake, 1)
            log.unlink()
            writer.write(line(2).encode())
            writer.flush()
            await asyncio.sleep(0.2)
            writer.write(line(3).encode())
            writer.write(b"<4>")
            writer.close()
            await caught_up(intake, 1, 2, 3, 4)
            await until(lambda: not held())
            await until(lambda: not intake.files())
            append(log, line(5))
            await caught_up(intake, 1, 2, 3, 4, 5)
    assert not intake.lost


def _link(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


async def test_inode_reuse(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, line(1) * 20)
    async with running(make()):
        await caught_up(intake, *[1] * 20)
    saved = dict(intake.files()[0])
    for _ in range(50):  # ext4 gives the lowest free inode; other file systems: claim it by hand
        log.unlink()
        append(log, "".join(line(mark) for mark in range(2, 40)))
        if log.stat().st_ino == saved["ino"]:
            break
    else:
        key = next(key for key in intake.saved if not key.startswith("@"))
        intake.saved[key] = saved | {"ino": log.stat().st_ino}
    async with running(make()):
        await caught_up(intake, *[1] * 20, *range(2, 40))
    assert len(intake.files()) == 1


async def test_symlink_flip(make: MAKE, intake: FakeIntake, log: Path, tmp_path: Path) -> None:
    store = tmp_path / "pods"
    store.mkdir()
    first, second = store / "0.log", store / "1.log"
    append(first, line(1))
    log.symlink_to(first)
    async with running(make(reconcile="100ms", include=[f"{log.parent}/*.log"])):
        await caught_up(intake, 1)
        append(first, line(2))
        append(second, line(3))
        log.with_name("next").symlink_to(second)
        log.with_name("next").rename(log)
        append(first, line(4))
        await caught_up(intake, 1, 2, 3, 4)
        append(second, line(5))
        await caught_up(intake, 1, 2, 3, 4, 5)
    assert intake.hits == 5


async def test_events_of_a_linked_file_are_seen_at_its_target(
    make: MAKE, intake: FakeIntake, log: Path, tmp_path: Path
) -> None:
    (tmp_path / "pods").mkdir()
    target = tmp_path / "pods/0.log"
    append(target, line(1))
    log.symlink_to(target)
    async with running(make(reconcile="1h")):
        await caught_up(intake, 1)
        await asyncio.sleep(0.3)
        append(target, line(2))
        await until(lambda: intake.marks == [1, 2])


async def test_one_file_under_two_names_is_read_once(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, line(1))
    os.link(log, log.with_name("same.log"))
    log.with_name("link.log").symlink_to(log)
    async with running(make(include=[f"{log.parent}/*.log"])):
        await caught_up(intake, 1)
        log.unlink()
        append(log.with_name("same.log"), line(2))
        await caught_up(intake, 1, 2)
    assert intake.hits == 2


async def test_saved_by_an_editor_is_not_read_again(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, line(1))
    async with running(make()):
        await caught_up(intake, 1)
        other = log.with_name(".app.log.swp")
        other.write_text(line(1) + line(2))
        other.rename(log)
        await caught_up(intake, 1, 2)
        append(log, line(3))
        await caught_up(intake, 1, 2, 3)
    assert intake.hits == 3


async def test_saved_by_an_editor_while_it_has_its_turn_it_is_told_as_what_it_was(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = Tracker._meet

    async def meet(tracker: Tracker, fresh: Any) -> Any:
        with monkeypatch.context() as during:
            during.setattr(TrackedFile, "busy", True)
            return await met(tracker, fresh)

    whole = line(1, padding=40_000)  # more than is compared byte by byte
    append(log, whole)
    async with running(make()):
        await caught_up(intake, 1)
        await until(lambda: [state["offset"] for state in intake.files()] == [len(whole)])
        monkeypatch.setattr(Tracker, "_meet", meet)
        other = log.with_name(".app.log.swp")
        other.write_text(whole + line(2))
        other.rename(log)
        await caught_up(intake, 1, 2)
        append(log, line(3))
        await caught_up(intake, 1, 2, 3)
    assert intake.marks == [1, 2, 3]


async def test_compressed_after_it_was_read_and_younger_than_the_log_after_it(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    """By a logger, that is, which gives the archive no time of another file."""
    old, archive = log.with_name("app.log.1"), log.with_name("app.log.2.gz")
    append(log, line(1))
    async with running(make()):
        await caught_up(intake, 1)
        log.rename(old)
        append(log, line(2))
        await caught_up(intake, 1, 2)
        await asyncio.sleep(0.02)
        making = log.with_name("making")
        making.write_bytes(gzip.compress(old.read_bytes()))
        making.rename(archive)
        old.unlink()
        await until(lambda: len(intake.files()) == 1)
        log.rename(old)
        append(log, line(3))
        await caught_up(intake, 1, 2, 3)
        await asyncio.sleep(0.2)
    assert intake.marks == [1, 2, 3]


@pytest.mark.parametrize("killed", [False, True])
async def test_a_small_log_is_rotated_before_it_is_known_to_be_no_copy_of_the_log_beside_it(
    make: MAKE, intake: FakeIntake, log: Path, killed: bool
) -> None:
    """With fewer bytes than a head it may be one in the making."""
    beside = log.with_name("app-1.log")
    followed = {"include": [str(log), str(beside)], "quiet": "10s"}
    append(log, line(1, padding=2000))
    source = make(**followed)
    async with running(source):
        await caught_up(intake, 1)
        append(beside, line(2))
        await until(lambda: any(tracked.unsure for tracked in source._registry))
        await until(lambda: len(intake.files()) == 2)
        if not killed:
            beside.rename(log.with_name("app-1.log.1"))
            append(beside, line(3))
            await until(lambda: any(tracked.path.endswith(".1") for tracked in source._registry))
    if killed:
        beside.rename(log.with_name("app-1.log.1"))
        append(beside, line(3))
    async with running(make(**followed | {"quiet": "150ms"})):
        await caught_up(intake, 1, 2, 3)
    assert not intake.lost


async def test_a_copy_in_the_making_is_known_as_one_after_a_kill(make: MAKE, intake: FakeIntake, log: Path) -> None:
    text = line(1, padding=2000)
    append(log, text)
    followed = {"include": [f"{log}*"]}
    source = make(**followed, quiet="10s")
    async with running(source):
        await caught_up(intake, 1)
        append(log.with_name("app.log.1"), text[:200])
        await until(lambda: len(intake.files()) == 2)
    append(log.with_name("app.log.1"), text[200:])
    async with running(make(**followed)):
        await asyncio.sleep(0.5)
        append(log, line(2))
        await caught_up(intake, 1, 2)


async def test_an_archive_that_is_younger_than_the_files_after_it_hides_none(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    """A logger compresses what it rotated before, once the next log is rotated as well."""
    append(log, line(1))
    source = make()
    async with running(source):
        await caught_up(intake, 1)
        async with source._tracker.changes._lock:
            log.rename(log.with_name("app.log.2"))
            append(log, line(2))
            log.rename(log.with_name("app.log.1"))
            append(log, line(3))
            await asyncio.sleep(0.02)
            compress(log.with_name("app.log.2"), ".gz")
            os.utime(log.with_name("app.log.2.gz"))
        await caught_up(intake, 1, 2, 3)
    assert not intake.lost


async def test_what_is_compressed_before_it_was_read_is_told_once(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, going_on, file_reader = make(), asyncio.Event(), FileSource._turn
    going_on.set()

    async def late(source: FileSource, *args: Any) -> None:
        await going_on.wait()
        await file_reader(source, *args)

    monkeypatch.setattr(FileSource, "_turn", late)
    append(log, line(1))
    async with running(source):
        await caught_up(intake, 1)
        going_on.clear()
        log.rename(log.with_name("app.log.1"))
        append(log, line(2))
        await until(lambda: len(list(source._registry)) == 2)
        async with source._tracker.changes._lock:
            log.with_name("app.log.1").rename(log.with_name("app.log.2"))
            log.rename(log.with_name("app.log.1"))
            compress(log.with_name("app.log.1"), ".gz")
            append(log, line(3))
            log.with_name("app.log.2").unlink()
        await asyncio.sleep(0.3)
        going_on.set()
        await caught_up(intake, 1, 2, 3)
        await asyncio.sleep(0.5)
    assert intake.marks == [1, 2, 3]
    assert not intake.lost


async def test_what_comes_and_goes_while_a_new_log_is_met_is_found(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was seen and could not be opened any more; the log after the next has its inode."""
    opened = tracker.open_same

    def late(path: str, inode: tuple[int, int]) -> int:
        if log.read_text() != line(2):
            return opened(path, inode)
        following = log.with_name("following")
        log.rename(following)
        compress_as(following, log.with_name("app.log.2.gz"))
        append(log.with_name("app.log.1"), line(3))
        compress(log.with_name("app.log.1"), ".gz")
        following.write_text(line(4))
        following.rename(log)
        return -1

    def compress_as(path: Path, archive: Path) -> None:
        archive.write_bytes(gzip.compress(path.read_bytes()))
        os.utime(archive, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))

    monkeypatch.setattr(tracker, "open_same", late)
    append(log, line(1))
    source = make()
    async with running(source):
        await caught_up(intake, 1)
        log.rename(log.with_name("app.log.3"))
        await until(lambda: any(tracked.path.endswith("3") for tracked in source._registry))
        await asyncio.sleep(0.2)
        append(log, line(2))
        await caught_up(intake, 1, 2, 3, 4)
    assert not intake.lost
