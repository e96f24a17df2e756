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
import zstandard
from pydantic import ValidationError

from monitor.records import BLOCK, CONTEXT
from monitor.sources.file import fates, turn
from monitor.sources.file import source as module
from monitor.sources.file.keeper import WATERMARK
from monitor.sources.file.source import FileConfig, FileSource
from tests.fakes.intake import FakeIntake, running, until

KEY = b"k" * 32
MAKE = Callable[..., FileSource]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits half a minute for the last word of an open line."""
    monkeypatch.setattr(module, "OPEN", 0.3)


@pytest.fixture
def intake() -> FakeIntake:
    return FakeIntake()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs/app.log"


@pytest.fixture
def make(intake: FakeIntake, log: Path) -> MAKE:
    def source(**keys: Any) -> FileSource:
        keys = {"include": [str(log)], "reconcile": "50ms", "quiet": "150ms", "start_at": "beginning"} | keys
        return FileSource(FileConfig(name="services", type="file", **keys), intake, KEY)

    return source


def append(path: Path, data: bytes | str) -> None:
    with path.open("ab") as file:
        file.write(data.encode() if isinstance(data, str) else data)


def line(mark: int, padding: int = 20) -> str:
    return f"2026-11-24T10:00:00Z service[{mark}] {'x' * padding} <{mark}>\n"


async def caught_up(intake: FakeIntake, *marks: int) -> None:
    await until(lambda: intake.marks == sorted(marks), lambda: f"wanted {sorted(marks)}, got {intake.marks}")


# Where to begin


async def test_start_at_end_holds_for_files_present_at_the_first_start_only(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    append(log, line(1))
    async with running(make(start_at="end", include=[f"{log.parent}/*.log"])):
        await until(lambda: WATERMARK in intake.saved)
        append(log, line(2))
        append(log.with_name("later.log"), line(3))
        await caught_up(intake, 2, 3)
    append(log.with_name("while-down.log"), line(4))
    async with running(make(start_at="end", include=[f"{log.parent}/*.log"])):
        await caught_up(intake, 2, 3, 4)


async def test_start_at_beginning(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, line(1))
    async with running(make()):
        await caught_up(intake, 1)


async def test_a_secret_across_the_point_of_the_first_start_is_found(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, "half a line <12")
    async with running(make(start_at="end")):
        await until(lambda: WATERMARK in intake.saved)
        append(log, "34>\n")
        await caught_up(intake, 1234)


# Following


async def test_a_line_is_scanned_within_milliseconds_by_the_watch(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, "start\n")
    async with running(make(reconcile="60s", include=[f"{log.parent}/*.log"])):
        await until(lambda: bool(intake.files()))
        await asyncio.sleep(0.3)
        for mark in range(5):
            append(log, line(mark))
            await until(lambda mark=mark: mark in intake.marks, seconds=2)  # type: ignore[misc]
        new = log.with_name("new.log")
        append(new, line(10))
        await until(lambda: 10 in intake.marks, seconds=2)


async def test_the_survey_alone_finds_everything(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileSource, "_hint", lambda *_: None)
    async with running(make(include=[f"{log.parent}/**/*.log"])):
        append(log, line(1))
        (log.parent / "deep/er").mkdir(parents=True)
        append(log.parent / "deep/er/x.log", line(2))
        await caught_up(intake, 1, 2)
        append(log, line(3))
        log.rename(log.with_name("app.log.1"))
        append(log, line(4))
        await caught_up(intake, 1, 2, 3, 4)


async def test_a_new_folder_below_a_deep_glob_is_watched_at_once(make: MAKE, intake: FakeIntake, log: Path) -> None:
    async with running(make(reconcile="60s", include=[f"{log.parent}/**/*.log"])):
        await until(lambda: WATERMARK in intake.saved)
        await asyncio.sleep(0.3)
        (log.parent / "new/deeper").mkdir(parents=True)
        append(log.parent / "new/deeper/x.log", line(1))
        await until(lambda: intake.marks == [1], seconds=3)


async def test_bytes_are_data(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, b"\0\0\xff\xfe <1>\0\n\xc3\x28<2>\n" + b"\0" * 100_000 + b"<3>\n")
    strange = Path(os.fsdecode(os.fsencode(log.parent) + b"/caf\xe9.log"))
    append(strange, line(4))
    async with running(make(include=[f"{log.parent}/*.log"])):
        await caught_up(intake, 1, 2, 3, 4)
        append(strange, line(5))
        await caught_up(intake, 1, 2, 3, 4, 5)
    assert {seen.path for seen in intake.found.values()} == {str(log), f"{log.parent}/caf\\xe9.log"}
    append(strange, line(6))
    async with running(make(include=[f"{log.parent}/*.log"])):
        await caught_up(intake, 1, 2, 3, 4, 5, 6)
    assert intake.hits == 6


async def test_a_last_line_without_newline_waits_for_quiet_and_is_read_again_whole(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    append(log, line(1) + "tail <2>")
    async with running(make(quiet="300ms")):
        await caught_up(intake, 1)
        await asyncio.sleep(0.05)
        assert intake.marks == [1]
        await caught_up(intake, 1, 2)
        assert intake.files()[0]["offset"] == len(line(1))
        append(log, " <3>\n")
        await caught_up(intake, 1, 2, 3)
    assert intake.files()[0]["offset"] == log.stat().st_size
    assert intake.hits == 4, "the mark of the last line was seen twice, with one identity"


async def test_a_last_line_that_stays_open_is_not_scanned_again_and_again(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    append(log, "open <1>")
    async with running(make()):
        await caught_up(intake, 1)
        await asyncio.sleep(0.5)
        assert intake.hits == 1


async def test_a_secret_over_several_lines_and_writes(make: MAKE, intake: FakeIntake, log: Path) -> None:
    async with running(make()):
        append(log, "x\nBEGIN 7\nabc\n")
        await until(lambda: bool(intake.files()))
        append(log, "def\nEN")
        await asyncio.sleep(0.1)
        append(log, "D\n")
        await caught_up(intake, 7)


@pytest.mark.parametrize("shift", [0, 1, 3, 5, 63, 64, 65])
async def test_secrets_at_the_edges_of_blocks(make: MAKE, intake: FakeIntake, log: Path, shift: int) -> None:
    block, context = BLOCK, CONTEXT
    data = bytearray(b"." * (4 * block))
    for index, edge in enumerate([block, block + context, 2 * block, 2 * block + context, 3 * block], 1):
        text = f"<{index}>".encode()
        at = edge - shift
        data[at : at + len(text)] = text
    # once as one line longer than several blocks, once with lines
    append(log, bytes(data) + b"\n")
    for at in range(97, len(data), 1009):
        if b"<" not in data[at - 8 : at + 1] and b">" not in data[at : at + 8]:
            data[at] = 10
    append(log, bytes(data))
    async with running(make()):
        await caught_up(intake, *sorted([1, 2, 3, 4, 5] * 2))
    assert intake.hits == len(intake.found), "each is settled by one block"
    assert all(length <= block + context for _, length, _, _ in intake.blocks)


async def test_a_long_line_written_slowly_does_not_blind_the_reader(make: MAKE, intake: FakeIntake, log: Path) -> None:
    async with running(make()):
        for mark in range(8):
            append(log, "y" * 200_000 + f"<{mark}>")
            await asyncio.sleep(0.02)
        append(log, "\n" + line(8))
        await caught_up(intake, *range(9))


async def test_line_numbers(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, "a\nb\n" + line(1) + "c\n" * 200_000 + line(2) + "BEGIN 3\nabc\n")
    async with running(make()):
        await caught_up(intake, 1, 2)
        append(log, "END\n" + line(4))
        await caught_up(intake, 1, 2, 3, 4)
    append(log, "\n\n" + line(5))
    async with running(make()):
        await caught_up(intake, 1, 2, 3, 4, 5)
    lines = log.read_bytes().split(b"\n")
    for seen in intake.found.values():
        assert seen.line is not None
        assert str(seen.mark).encode() in lines[seen.line - 1]


# Rotation


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


async def test_truncation_without_a_copy_is_entered_as_lost(make: MAKE, intake: FakeIntake, log: Path) -> None:
    async with running(make()):
        append(log, line(1))
        await caught_up(intake, 1)
        intake.gate.clear()
        append(log, line(2))
        await asyncio.sleep(0.2)
        append(log, line(3))
        await asyncio.sleep(0.2)
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
    monkeypatch.setattr(fates, "DELETED", 0.3)

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
    async with running(make(reconcile="60s")):
        await caught_up(intake, 1)
        await asyncio.sleep(0.3)
        append(target, line(2))
        await until(lambda: intake.marks == [1, 2], seconds=3)


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


# While the monitor was down


def _compress(path: Path, suffix: str) -> None:
    data = path.read_bytes()
    target = path.with_name(path.name + suffix)
    target.write_bytes(gzip.compress(data) if suffix == ".gz" else zstandard.compress(data))
    os.utime(target, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    path.unlink()


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
            _compress(log.with_name("app.log.1"), suffix)
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
        _compress(rotated, ".gz")
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
    _compress(log.with_name("app.log.2"), ".gz")
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


# Bad input


async def test_unreadable_file(make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tests may run as root, which may read everything.
    from monitor.sources.file import keeper

    real, denied = keeper.open_file, True

    def open_file(path: str) -> int:
        if denied and path == str(log):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(keeper, "open_file", open_file)
    monkeypatch.setattr(turn, "open_file", open_file)
    append(log, line(1))
    append(log.with_name("b.log"), line(2))
    async with running(make(include=[f"{log.parent}/*.log"], start_at="end")):
        await until(lambda: str(log) in intake.problems)
        append(log, line(3))
    assert "Permission denied; its group may not either: setfacl -m u:" in intake.problems[str(log)]
    intake.problems.clear()
    async with running(make(include=[f"{log.parent}/*.log"], start_at="end")):
        await until(lambda: str(log) in intake.problems)
        append(log.with_name("b.log"), line(4))
        await caught_up(intake, 4)
        denied = False
        await caught_up(intake, 3, 4)
        await until(lambda: not intake.problems)


async def test_a_read_error_is_named_and_tried_again(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, broken = os.preadv, True

    def preadv(fd: int, buffers: Any, offset: int) -> int:
        if broken:
            raise OSError(5, "Input/output error")
        return real(fd, buffers, offset)

    append(log, line(1))
    monkeypatch.setattr(os, "preadv", preadv)
    async with running(make()):
        await until(lambda: "Input/output error" in intake.problems.get(str(log), ""))
        broken = False
        await caught_up(intake, 1)
        await until(lambda: not intake.problems)


async def test_vanished_folder(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, line(1))
    async with running(make(include=[f"{log.parent}/*.log"])):
        await caught_up(intake, 1)
        shutil.rmtree(log.parent)
        await until(lambda: "waiting for it" in intake.problems.get(str(log.parent), ""))
        log.parent.mkdir()
        append(log, line(2))
        await caught_up(intake, 1, 2)
        await until(lambda: not intake.problems)


async def test_a_folder_that_comes_back_is_watched_again(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, line(1))
    async with running(make(include=[f"{log.parent}/*.log"])) as _:
        await caught_up(intake, 1)
        shutil.rmtree(log.parent)
        log.parent.mkdir()
        append(log, line(2))
        await caught_up(intake, 1, 2)
        await asyncio.sleep(0.3)
        assert not intake.lost


async def test_a_folder_where_a_file_should_be(make: MAKE, intake: FakeIntake, log: Path) -> None:
    log.mkdir()
    os.mkfifo(log.with_name("fifo.log"))
    append(log.with_name("b.log"), line(1))
    async with running(make(include=[str(log), f"{log.parent}/*.log"])):
        await caught_up(intake, 1)
        await until(lambda: f"is a folder; write {log}/*" in intake.problems.get(str(log), ""))
        log.rmdir()
        append(log, line(2))
        await caught_up(intake, 1, 2)
        await until(lambda: not intake.problems)


async def test_a_block_the_engine_fails_on_is_passed_over_in_the_end(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNSCANNABLE", 2)
    intake.broken = b"poison"
    async with running(make()):
        append(log, line(1))
        await caught_up(intake, 1)
        append(log, "poison\n")
        await until(lambda: bool(intake.lost))
        append(log, line(2))
        await caught_up(intake, 1, 2)
    assert intake.lost == [("unscannable", len("poison\n"), str(log))]


async def test_blocks_before_one_that_the_engine_fails_on_are_kept(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNSCANNABLE", 2)
    intake.broken = b"poison"
    filler = (b"x" * 99 + b"\n") * (BLOCK // 90)  # more than a block
    append(log, line(1).encode() + filler + line(2).encode() + filler + b"poison\n" + filler + line(3).encode())
    async with running(make()):
        await caught_up(intake, 1, 2, 3)
    (lost,) = intake.lost
    assert lost[0] == "unscannable"
    assert lost[1] <= BLOCK + CONTEXT


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_file_full_of_findings_is_committed_piece_by_piece(
    make: MAKE, intake: FakeIntake, log: Path, compressed: bool
) -> None:
    filler = "x" * 99 + "\n"
    text = "".join(filler * 1500 + line(mark) for mark in range(20)) + "no newline <20>"
    intake.enough = 1
    if compressed:
        append(log, line(100))
        async with running(make()):
            await caught_up(intake, 100)
        log.rename(log.with_name("app.log.1"))
        append(log.with_name("app.log.1"), text)
        _compress(log.with_name("app.log.1"), ".gz")
    else:
        append(log, text)
    before = intake.commits
    await asyncio.wait_for(make().run(once=True), 20)
    assert [mark for mark in intake.marks if mark < 100] == list(range(21))
    assert intake.commits - before >= 4
    assert all(seen.line for seen in intake.found.values() if not compressed)


async def test_a_store_that_cannot_write_stops_the_reading(make: MAKE, intake: FakeIntake, log: Path) -> None:
    async with running(make()):
        append(log, line(1))
        await caught_up(intake, 1)
        intake.gate.clear()
        for mark in range(2, 100):
            append(log, line(mark))
        await asyncio.sleep(0.2)
        assert intake.marks == [1]
        intake.gate.set()
        await caught_up(intake, *range(1, 100))


# Many files


async def test_descriptors_are_bounded(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(include=[f"{log.parent}/*.log"])
    source._schedule.open_max = 10
    before = len(os.listdir("/proc/self/fd"))
    for index in range(200):
        append(log.with_name(f"{index}.log"), line(index))
    async with running(source):
        await caught_up(intake, *range(200))
        assert len(os.listdir("/proc/self/fd")) < before + 50
        for index in range(200):
            append(log.with_name(f"{index}.log"), line(1000 + index))
        await caught_up(intake, *range(200), *range(1000, 1200))


async def test_a_live_file_does_not_wait_for_those_that_catch_up(make: MAKE, intake: FakeIntake, log: Path) -> None:
    for index in range(12):
        append(log.with_name(f"big{index}.log"), (line(0, padding=4000) * 5000).replace("<0>", "---"))
    append(log, "small\n")
    async with running(make(include=[f"{log.parent}/*.log"])):
        await until(lambda: intake.scanned > 30 << 20)
        append(log, line(1))
        await until(lambda: 1 in intake.marks)
        assert intake.scanned < 150 << 20, "it had its turn before the others were done"


async def test_idle_files_cost_no_scans_and_no_commits(make: MAKE, intake: FakeIntake, log: Path) -> None:
    for index in range(50):
        append(log.with_name(f"{index}.log"), line(index))
    async with running(make(include=[f"{log.parent}/*.log"])):
        await caught_up(intake, *range(50))
        await asyncio.sleep(0.2)
        commits, scanned = intake.commits, intake.scanned
        await asyncio.sleep(0.5)
        assert (intake.commits, intake.scanned) == (commits, scanned)
    async with running(make(include=[f"{log.parent}/*.log"])):
        await asyncio.sleep(0.5)
    assert (intake.commits, intake.scanned) == (commits, scanned)


# Once


async def test_once_reads_to_the_present_end_and_returns(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, line(1) + "open <2>")
    append(log.with_name("b.log"), line(3) * 3)
    await make(include=[f"{log.parent}/*.log"]).run(True)
    assert intake.marks == [1, 2, 3, 3, 3]
    log.rename(log.with_name("app.log.1"))
    append(log, line(4))
    await make(include=[f"{log.parent}/app.log"]).run(True)
    assert intake.marks == [1, 2, 3, 3, 3, 4]
    await make(include=[f"{log.parent}/app.log"], start_at="end").run(True)
    assert intake.marks == [1, 2, 3, 3, 3, 4]


async def test_once_with_nothing_to_read(make: MAKE, intake: FakeIntake, log: Path) -> None:
    await make(include=[f"{log.parent}/missing/*.log"]).run(True)
    assert list(intake.saved) == [WATERMARK]


# Configuration


def test_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/user")
    config = FileConfig(
        name="a", type="file", include=("./var/*.log", "~/x.log", "/a/../b/**"), exclude=("*.gz", "old/*")
    )
    assert config.include == (f"{tmp_path}/var/*.log", "/home/user/x.log", "/b/**")
    assert config.exclude == ("*.gz", f"{tmp_path}/old/*")
    other = FileConfig.model_validate({"name": "a", "type": "file", "include": ["x"]}, context={"folder": "/etc/m"})
    assert other.include == ("/etc/m/x",)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"include": []}, "at least 1 item"),
        ({"include": [""]}, "must be a path or a glob"),
        ({"include": ["/var/log/**.log"]}, "must stand alone"),
        ({"include": ["/x"], "start_at": "middle"}, "'end' or 'beginning'"),
        ({"include": ["/x"], "quiet": 3}, "must be a duration"),
        ({"include": ["/x"], "reconcile": "0s"}, "greater than 0"),
        ({"include": ["/x"], "paths": []}, "Extra inputs"),
    ],
)
def test_configuration_errors(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FileConfig(name="a", type="file", **keys)
