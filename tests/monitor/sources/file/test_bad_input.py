"""Files, folders, blocks and stores that fail."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.common import files
from monitor.common.cuts import CONTEXT
from monitor.sources.file import reader
from monitor.sources.file import source as module
from monitor.sources.file.identity import Hasher
from monitor.sources.file.reader import BLOCK
from monitor.sources.file.source import FileSource
from monitor.sources.file.tracked_file import TrackedFile
from tests.fakes.intake import FakeIntake, caught_up, running, until
from tests.fakes.logs import append, compress, line

MAKE = Callable[..., FileSource]
pytestmark = pytest.mark.usefixtures("short")


async def test_unreadable_file(make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tests may run as root, which may read everything.
    real, denied = files.open_file, True

    def open_file(path: str) -> int:
        if denied and path == str(log):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(files, "open_file", open_file)
    monkeypatch.setattr(reader, "open_file", open_file)
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


async def test_once_does_not_end_before_such_a_block_and_tells_of_it(make: MAKE, intake: FakeIntake, log: Path) -> None:
    intake.broken = b"poison"
    append(log, "poison\n")
    await make().run(True)
    assert intake.lost == [("unscannable", len("poison\n"), str(log))]
    append(log, line(2))
    await make().run(True)
    assert intake.marks == [2]


async def test_what_is_written_while_a_block_is_passed_over_is_read(
    make: MAKE, intake: FakeIntake, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNSCANNABLE", 1)
    intake.broken = b"poison"
    settle = Hasher.settle

    def slowly(self: Hasher, fd: int, tracked: TrackedFile, offset: int) -> None:
        tracked.offset = offset
        append(log, line(2))
        time.sleep(0.3)
        settle(self, fd, tracked, offset)

    monkeypatch.setattr(Hasher, "settle", slowly)
    async with running(make()):
        append(log, line(1))
        await caught_up(intake, 1)
        append(log, "poison\n")
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
        compress(log.with_name("app.log.1"), ".gz")
    else:
        append(log, text)
    before = intake.commits
    await asyncio.wait_for(make().run(once=True), 120)
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
