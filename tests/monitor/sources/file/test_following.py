"""A log that grows: lines, open lines, long ones, at the edges of blocks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.common.cuts import CONTEXT
from monitor.sources.file.reader import BLOCK
from monitor.sources.file.source import FileSource
from monitor.sources.file.tracker import WATERMARK
from tests.fakes.intake import FakeIntake, caught_up, running, until
from tests.fakes.logs import append, line

MAKE = Callable[..., FileSource]
pytestmark = pytest.mark.usefixtures("short")


async def test_a_line_is_scanned_within_milliseconds_by_the_watch(make: MAKE, intake: FakeIntake, log: Path) -> None:
    append(log, "start\n")
    async with running(make(reconcile="1h", include=[f"{log.parent}/*.log"])):
        await until(lambda: bool(intake.files()))
        await asyncio.sleep(0.3)
        for mark in range(5):
            append(log, line(mark))
            await until(lambda mark=mark: mark in intake.marks)  # type: ignore[misc]
        new = log.with_name("new.log")
        append(new, line(10))
        await until(lambda: 10 in intake.marks)


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
    async with running(make(reconcile="1h", include=[f"{log.parent}/**/*.log"])):
        await until(lambda: WATERMARK in intake.saved)
        await asyncio.sleep(0.3)
        (log.parent / "new/deeper").mkdir(parents=True)
        append(log.parent / "new/deeper/x.log", line(1))
        await until(lambda: intake.marks == [1])


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
