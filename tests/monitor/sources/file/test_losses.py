"""Cases in which something was lost or invented once. Each failed before it was mended."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from monitor.sources.file import open_handles, transitions
from monitor.sources.file import source as module
from monitor.sources.file.source import FileConfig, FileSource
from tests.fakes.intake import FakeIntake, caught_up, running, until

MAKE = Callable[..., FileSource]


def padded(mark: int, padding: int) -> bytes:
    return (b"x" * 99 + b"\n") * (padding // 100) + b"<%d>\n" % mark + (b"y" * 99 + b"\n") * (padding // 100)


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("padding", [2_000, 60_000])
async def test_a_rewrite_of_the_same_size_and_ends_is_read(
    make: MAKE, intake: FakeIntake, log: Path, padding: int, renamed: bool, down: bool
) -> None:
    def rewrite(mark: int) -> None:
        if renamed:
            log.with_suffix(".new").write_bytes(padded(mark, padding))
            log.with_suffix(".new").rename(log)
        else:
            with log.open("r+b") as file:
                file.write(padded(mark, padding))

    log.write_bytes(padded(100, padding))
    if down:
        async with running(make()):
            await caught_up(intake, 100)
        await asyncio.sleep(0.02)
        rewrite(200)
    async with running(make()):
        if not down:
            await caught_up(intake, 100)
            await asyncio.sleep(0.02)
            rewrite(200)
        await caught_up(intake, 100, 200)
        rewrite(300)
        await caught_up(intake, 100, 200, 300)
    assert not intake.lost


async def test_what_was_there_at_the_first_start_stays_unread_when_a_big_file_is_touched(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    log.write_bytes(padded(1, 60_000))
    async with running(make(start_at="end")):
        await until(lambda: bool(intake.files()))
        with log.open("ab") as file:
            file.write(b"<2>\n")
        await caught_up(intake, 2)
        os.utime(log)
        await asyncio.sleep(0.3)
        with log.open("ab") as file:
            file.write(b"<3>\n")
        await caught_up(intake, 2, 3)


@pytest.mark.parametrize("recreated", [False, True])
async def test_a_quiet_log_that_is_rotated_while_its_writer_goes_on(
    make: MAKE, intake: FakeIntake, log: Path, recreated: bool
) -> None:
    with log.open("ab", buffering=0) as writer:
        writer.write(b"<1>\n")
        os.utime(log, (1_000_000, 1_000_000))
        async with running(make()):
            await caught_up(intake, 1)
            log.rename(log.with_suffix(".log.1"))
            if recreated:
                log.write_bytes(b"<2>\n")
            await asyncio.sleep(0.5)
            writer.write(b"<3>\n")
            await caught_up(intake, *([1, 2, 3] if recreated else [1, 3]))


@pytest.mark.parametrize("how", ["reserved", "zeros"])
async def test_a_log_preallocated_and_filled_in_place(make: MAKE, intake: FakeIntake, log: Path, how: str) -> None:
    size = 4 << 20
    with log.open("w+b", buffering=0) as file:
        if how == "reserved":
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.write(bytes(size))
        file.seek(0)
        async with running(make()):
            for mark in range(1, 40):
                file.write(b"<%d>\n" % mark)
                await asyncio.sleep(0.01)
                if mark % 10 == 0:
                    await caught_up(intake, *range(1, mark + 1))
            await caught_up(intake, *range(1, 40))
            file.seek(size - 5)
            file.write(b"<99>\n")
            await caught_up(intake, *range(1, 40), 99)


async def test_rotated_files_beyond_the_budget_are_shut_and_still_read(
    make: MAKE, intake: FakeIntake, log: Path
) -> None:
    source = make(include=[f"{log.parent}/*.log"])
    source._schedule.open_max = 8
    names = [log.with_name(f"{number}.log") for number in range(15)]
    marks = iter(range(1, 10_000))
    planted: list[int] = []

    def plant(path: Path) -> None:
        planted.append(next(marks))
        with path.open("ab") as file:
            file.write(b"%s <%d>\n" % (path.name.encode(), planted[-1]))

    def held() -> int:
        links = []
        for fd in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                links.append(os.readlink(f"/proc/self/fd/{fd}"))
        return sum(str(log.parent) in link for link in links)

    async with running(source):
        for file_reader in range(4):
            for name in names:
                plant(name)
            await caught_up(intake, *planted)
            for name in names:
                plant(name)
                name.rename(name.with_suffix(f".log.{9 - file_reader}"))
        for name in names:
            plant(name)
            plant(name.with_suffix(".log.9"))
        await caught_up(intake, *planted)
        await until(lambda: held() <= 10, lambda: f"{held()} are held")
    assert not intake.lost


async def test_a_deleted_file_is_held_however_many_are_rotated(make: MAKE, intake: FakeIntake, log: Path) -> None:
    source = make(include=[f"{log.parent}/*.log"])
    source._schedule.open_max = 8
    others = [log.with_name(f"{number}.log") for number in range(8)]
    with log.open("ab", buffering=0) as writer:
        async with running(source):
            writer.write(b"<1>\n")
            await caught_up(intake, 1)
            log.unlink()
            marks = [1]
            for file_reader in range(2):
                for number, other in enumerate(others):
                    marks.append(100 * (file_reader + 1) + number)
                    other.write_bytes(b"%s <%d>\n" % (other.name.encode(), marks[-1]))
                await caught_up(intake, *marks)
                for other in others:
                    other.rename(other.with_suffix(f".log.{9 - file_reader}"))
            await asyncio.sleep(0.5)  # longer than `quiet`
            writer.write(b"<2>\n")
            await caught_up(intake, *marks, 2)
    assert not intake.lost


@pytest.mark.parametrize("seen", [True, False])
async def test_a_file_deleted_while_it_is_shut_for_want_of_descriptors(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    """Read on through its writer's handle where that can be seen; otherwise told, as nobody knows how much it is."""
    if not seen:
        monkeypatch.setattr(open_handles, "_PROCESSES", "/nonexistent")
    source = make(include=[f"{log.parent}/*.log"])
    source._schedule.open_max = 4
    with log.open("ab", buffering=0) as writer:
        async with running(source):
            writer.write(b"the first line <1>\n")
            await caught_up(intake, 1)
            marks = list(range(10, 20))
            for mark in marks:
                log.with_name(f"{mark}.log").write_bytes(b"%d <%d>\n" % (mark, mark))
            await caught_up(intake, 1, *marks)
            tracked = source._registry.shown(str(log))
            assert tracked is not None
            assert tracked.fd < 0
            log.unlink()
            writer.write(b"the second line <2>\n")
            if seen:
                await caught_up(intake, 1, *marks, 2)
                writer.write(b"the third line <3>\n")
                await caught_up(intake, 1, *marks, 2, 3)
                assert not intake.lost
            else:
                await until(lambda: intake.lost)
                assert intake.lost == [("vanished", 0, str(log))]


async def test_deleted_files_beyond_the_budget_are_told(make: MAKE, intake: FakeIntake, log: Path) -> None:
    source = make(include=[f"{log.parent}/*.log"])
    source._schedule.open_max = 8
    with contextlib.ExitStack() as stack:
        writers = []
        async with running(source):
            for number in range(6):
                path = log.with_name(f"{number}.log")
                writers.append(stack.enter_context(path.open("ab", buffering=0)))
                writers[-1].write(b"%d <%d>\n" % (number, number))
            await caught_up(intake, *range(6))
            for number in range(6):
                log.with_name(f"{number}.log").unlink()
                await asyncio.sleep(0.01)
            await until(lambda: len(intake.lost) == 2)
            assert {(reason, count) for reason, count, _ in intake.lost} == {("crowded", 0)}
            await asyncio.sleep(0.4)
            assert len(intake.lost) == 2, "as many are held as there is room for"


async def test_a_file_deleted_while_nobody_watched_is_read_on(make: MAKE, intake: FakeIntake, log: Path) -> None:
    with log.open("ab", buffering=0) as writer:
        writer.write(b"the first line <1>\n")
        async with running(make()):
            await caught_up(intake, 1)
        log.unlink()
        writer.write(b"the second line <2>\n")
        async with running(make()):
            await caught_up(intake, 1, 2)
            writer.write(b"the third line <3>\n")
            await caught_up(intake, 1, 2, 3)
    assert not intake.lost


async def test_files_moved_while_descriptors_are_short_are_not_given_up(
    make: MAKE, intake: FakeIntake, log: Path, folders: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    log.write_bytes(b"one line <1>\n")
    async with running(make()):
        await caught_up(intake, 1)
    with log.open("ab") as file:
        file.write(b"another line <2>\n")
    log.rename(log.with_suffix(".log.2"))
    await asyncio.sleep(0.02)
    log.with_suffix(".log.1").write_bytes(b"came and went <4>\n")
    log.write_bytes(b"new <3>\n")
    folders.clear()
    async with running(make()):
        await caught_up(intake, 1, 3)
        await asyncio.sleep(0.5)
        folders.set()
        await caught_up(intake, 1, 2, 3, 4)
    assert not intake.lost


@pytest.mark.parametrize("where", ["old", "old/2026", "../archive"])
async def test_moved_into_another_folder_while_down(make: MAKE, intake: FakeIntake, log: Path, where: str) -> None:
    log.write_bytes(b"one line <1>\n")
    async with running(make()):
        await caught_up(intake, 1)
    with log.open("ab") as file:
        file.write(b"another line <2>\n")
    folder = log.parent / where
    folder.mkdir(parents=True)
    log.rename(folder / "app.log.1")
    log.write_bytes(b"new <3>\n")
    async with running(make()):
        await caught_up(intake, 1, 2, 3)
    assert not intake.lost


async def test_deleted_silent_and_written_again(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transitions, "DELETED", 0.2)
    with log.open("ab", buffering=0) as writer:
        async with running(make()):
            writer.write(b"<1>\n")
            await caught_up(intake, 1)
            log.unlink()
            await asyncio.sleep(1.0)
            writer.write(b"<2>\n")
            await caught_up(intake, 1, 2)
            writer.close()
            await until(lambda: not intake.files())


@pytest.mark.parametrize("value", [b"<12345>", b'{"token": "<12345>"}'])
async def test_a_pause_inside_a_value_invents_none(make: MAKE, intake: FakeIntake, log: Path, value: bytes) -> None:
    # A fragment of this mark is a mark, too, as it is of many a token.
    async with running(make()):
        with log.open("ab", buffering=0) as writer:
            writer.write(b"before <1> and <77>")
            await until(lambda: 1 in intake.marks)
            await asyncio.sleep(0.5)
            assert intake.marks == [1]
            writer.write(b"8> " + value + b"\n")
        await until(lambda: 12345 in intake.marks)
    assert 77 in intake.marks


async def test_the_last_word_of_an_open_line_is_told_in_the_end(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN", 0.3)
    log.write_bytes(b"token <1>")
    async with running(make()):
        await caught_up(intake, 1)


async def test_an_open_line_of_a_deleted_file_is_told(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN", 0.3)
    log.write_bytes(b"first\ntoken <1>")
    async with running(make()):
        await until(lambda: any(state["offset"] for state in intake.files()))
        log.unlink()
        await caught_up(intake, 1)
        await until(lambda: not intake.files())
    assert not intake.lost


async def test_a_file_compressed_before_a_kill_is_read_once(make: MAKE, intake: FakeIntake, log: Path) -> None:
    log.write_bytes(b"one line <1>\n")
    async with running(make()):
        await caught_up(intake, 1)
        rotated = log.with_suffix(".log.1")
        log.rename(rotated)
        log.write_bytes(b"next <2>\n")
        await caught_up(intake, 1, 2)
        status = rotated.stat()
        archive = rotated.with_suffix(".1.gz")
        archive.write_bytes(gzip.compress(rotated.read_bytes()))
        os.utime(archive, ns=(status.st_atime_ns, status.st_mtime_ns))
        rotated.unlink()
        await asyncio.sleep(0.3)
    async with running(make()):
        await asyncio.sleep(0.4)
    assert intake.marks == [1, 2]


async def test_a_name_that_is_not_utf8_leaves_the_watch_alone(make: MAKE, intake: FakeIntake, log: Path) -> None:
    strange = Path(os.fsdecode(os.fsencode(log.parent) + b"/\xff.log"))
    log.touch()
    strange.touch()
    async with running(make(reconcile="1h", include=[f"{log.parent}/*.log"])):
        await until(lambda: len(intake.files()) == 2)
        await asyncio.sleep(0.3)
        for mark, path in enumerate([strange, log, strange, log]):
            with path.open("ab") as file:
                file.write(b"<%d>\n" % mark)
            await until(lambda mark=mark: mark in intake.marks)  # type: ignore[misc]


async def test_what_is_written_while_rules_are_compiled_is_read(make: MAKE, intake: FakeIntake, log: Path) -> None:
    log.write_bytes(b"<1>\n")
    source = make(start_at="end", include=[f"{log.parent}/*.log"])
    intake.present = FileSource.present(source.config)
    with log.open("ab") as file:
        file.write(b"<2>\n")
    log.with_name("new.log").write_bytes(b"<3>\n")
    async with running(source):
        await caught_up(intake, 2, 3)
    assert intake.begun


@pytest.mark.parametrize("told", [True, False])
async def test_space_set_aside_is_not_there_yet_at_the_very_first_start(
    make: MAKE, intake: FakeIntake, log: Path, told: bool
) -> None:
    log.write_bytes(b"<1>\n" + bytes(65536))
    source = make(start_at="end")
    if told:
        intake.present = FileSource.present(source.config)
    async with running(source):
        await until(lambda: intake.begun)
        with log.open("r+b") as file:
            file.seek(4)
            file.write(b"<2>\n")
        await caught_up(intake, 2)


@pytest.mark.parametrize("years", [-1, 1])
async def test_a_rewrite_is_read_though_the_clock_was_set(
    make: MAKE, intake: FakeIntake, log: Path, years: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: true() + years * 365 * 86400 * 10**9)
    log.write_bytes(padded(100, 60_000))
    async with running(make()):
        await caught_up(intake, 100)
        await asyncio.sleep(0.02)
        with log.open("r+b") as file:
            file.write(padded(200, 60_000))
        await caught_up(intake, 100, 200)


class Handing(FakeIntake):
    """Hands what is open to the next source, as over a reload."""

    def __init__(self) -> None:
        super().__init__()
        self.left: dict[tuple[int, int], int] = {}

    @property
    def handles(self) -> dict[tuple[int, int], int]:
        return self.left


async def test_a_log_deleted_in_the_midst_of_a_reload_is_read_on(log: Path) -> None:
    intake = Handing()
    keys = {"include": [str(log)], "reconcile": "50ms", "start_at": "beginning"}
    config = FileConfig.model_validate({"name": "services", "type": "file", **keys})
    with log.open("ab", buffering=0) as writer:
        writer.write(b"<1>\n")
        async with running(FileSource(config, intake, b"k" * 32)):
            await until(lambda: [state["offset"] for state in intake.files()] == [4])
        log.unlink()
        writer.write(b"<2>\n")
        async with running(FileSource(config, intake, b"k" * 32)):
            await caught_up(intake, 1, 2)
            writer.write(b"<3>\n")
            await caught_up(intake, 1, 2, 3)
    for descriptor in intake.left.values():
        os.close(descriptor)


async def test_what_is_deleted_before_its_first_turn_is_read(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make()
    following, file_reader = source._schedule.next, asyncio.Event()

    async def when_its_turn_comes() -> Any:
        await file_reader.wait()
        return await following()

    monkeypatch.setattr(source._schedule, "next", when_its_turn_comes)

    def followed(path: Path) -> bool:
        return source._registry.inside((path.stat().st_dev, path.stat().st_ino)) is not None

    log.write_bytes(b"<0>\n")
    async with running(source):
        await until(lambda: followed(log))
        # Two more files came and were rotated away before anybody looked again.
        log.rename(f"{log}.3")
        Path(f"{log}.2").write_bytes(b"<1>\n")
        log.write_bytes(b"<2>\n")
        await until(lambda: followed(log) and followed(Path(f"{log}.2")))
        for number in (2, 3):
            Path(f"{log}.{number}").unlink()
        log.unlink()
        await asyncio.sleep(0.2)
        file_reader.set()
        await caught_up(intake, 0, 1, 2)
    assert not intake.lost
