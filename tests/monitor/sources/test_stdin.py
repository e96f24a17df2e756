from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.sources import stdin as module
from monitor.sources.stdin import StdinConfig, StdinSource
from tests.fakes.intake import FakeIntake, until


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(fd)


def source(reader: int, intake: FakeIntake) -> StdinSource:
    return StdinSource(StdinConfig(name="pipe", type="stdin"), intake, b"k" * 32, reader)


async def test_reads_to_the_end_with_the_last_line_open(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    intake = FakeIntake()
    os.write(writer, b"a <1>\n\0\xff<2>\nopen <3>")
    os.close(writer)
    await source(reader, intake).run(True)
    assert intake.marks == [1, 2, 3]
    assert intake.hits == 3
    assert {seen.path for seen in intake.found.values()} == {"-"}
    assert {seen.offset for seen in intake.found.values()} == {2, 8, 17}


async def test_lines_are_scanned_as_they_come_and_an_open_one_after_a_quiet_second(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_QUIET", 0.1)
    reader, writer = pipe
    intake = FakeIntake()
    task = asyncio.create_task(source(reader, intake).run(False))
    os.write(writer, b"<1>\nBEGIN 2\nab")
    await until(lambda: intake.marks == [1])
    os.write(writer, b"c\nEND\n")
    await until(lambda: intake.marks == [1, 2])
    os.write(writer, b"open <3>")
    await until(lambda: intake.marks == [1, 2, 3])
    os.write(writer, b" <4>\n")
    await until(lambda: intake.marks == [1, 2, 3, 4])
    os.close(writer)
    await asyncio.wait_for(task, 120)
    assert intake.hits == 4


async def test_a_line_longer_than_a_read(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    intake = FakeIntake()
    data = b"".join(b"y" * 99_990 + b"<%07d>" % number for number in range(50))

    def write() -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(writer, view) :]
        os.close(writer)

    writing = asyncio.to_thread(write)
    await asyncio.gather(writing, source(reader, intake).run(True))
    assert intake.marks == list(range(50))
    assert intake.hits == 50


async def test_a_block_the_engine_fails_on_is_counted_lost(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    intake = FakeIntake()
    intake.broken = b"poison"
    os.write(writer, b"poison\n")
    os.close(writer)
    await source(reader, intake).run(True)
    assert intake.lost == [("unscannable", 7, "-")]


async def test_stopped_it_scans_what_it_has_read_and_leaves_no_thread_behind(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    intake = FakeIntake()
    task = asyncio.create_task(source(reader, intake).run(False))
    os.write(writer, b"<1>\nopen <2>")
    await until(lambda: intake.marks == [1])
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(task), 120)
    assert intake.marks == [1, 2]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio_") and _busy(thread)]


async def test_stopped_while_the_store_cannot_write_it_loses_nothing(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    intake = FakeIntake()
    intake.gate.clear()
    task = asyncio.create_task(source(reader, intake).run(False))
    os.write(writer, b"<1>\nopen <2>")
    await until(lambda: intake.scanned)
    task.cancel()
    await asyncio.sleep(0)
    intake.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(task), 120)
    assert intake.marks == [1, 2]


def _busy(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_name == "_poll"


async def test_a_file_as_standard_input(tmp_path: Path) -> None:
    intake = FakeIntake()
    (tmp_path / "in").write_bytes(b"<1>\n<2>\n<3>")
    with (tmp_path / "in").open("rb") as file:
        await source(file.fileno(), intake).run(True)
    assert intake.marks == [1, 2, 3]
