"""Logs that are written through a mapping: space is set aside, nothing tells that it is filled, at last it is cut."""

from __future__ import annotations

import mmap
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.sources.file.source import FileSource
from tests.fakes.intake import FakeIntake, caught_up, running
from tests.fakes.logs import line

MAKE = Callable[..., FileSource]


class Mapped:
    """As log4j2's MemoryMappedFile appender writes: `region` bytes set aside at a time, cut to what was written."""

    def __init__(self, path: Path, region: int) -> None:
        self._region = region
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._at = os.fstat(self._fd).st_size
        self._map()

    def _map(self) -> None:
        self._start = self._at - self._at % mmap.ALLOCATIONGRANULARITY
        os.ftruncate(self._fd, self._at + self._region)
        self._memory = mmap.mmap(self._fd, self._at + self._region - self._start, offset=self._start)

    def write(self, text: str) -> None:
        data = text.encode()
        while data:
            room = len(self._memory) - (self._at - self._start)
            piece, data = data[:room], data[room:]
            self._memory[self._at - self._start : self._at - self._start + len(piece)] = piece
            self._at += len(piece)
            if data:
                self._memory.close()
                self._map()

    def close(self) -> None:
        self._memory.close()
        os.ftruncate(self._fd, self._at)
        os.close(self._fd)


@pytest.mark.parametrize("seed", range(2))
async def test_what_is_written_through_a_mapping_is_read_at_once(
    make: MAKE, intake: FakeIntake, log: Path, seed: int
) -> None:
    await mapped(make, intake, log, seed)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(2, 26))
async def test_many_mapped_logs(make: MAKE, intake: FakeIntake, log: Path, seed: int) -> None:
    await mapped(make, intake, log, seed)


async def mapped(make: MAKE, intake: FakeIntake, log: Path, seed: int) -> None:
    rng = random.Random(seed)
    writer = Mapped(log, rng.choice((4096, 4097, 1 << 20, 32 << 20)))
    marks: list[int] = []

    def write(count: int) -> None:
        for _ in range(count):
            marks.append(len(marks) + 1)
            writer.write(line(marks[-1], rng.choice((20, 500, 4000))))

    for _ in range(2):
        async with running(make()):
            for _ in range(rng.randint(2, 4)):
                write(rng.randint(1, 3))
                await caught_up(intake, *marks)
        write(rng.randint(0, 2))
    async with running(make()):
        write(1)
        await caught_up(intake, *marks)  # it is open, too, when it is deleted
        write(1)
        end = rng.choice(("cut", "rename", "unlink"))
        if end == "rename":
            log.rename(log.with_name("app.log.1"))
        elif end == "unlink":
            log.unlink()
        write(1)
        writer.close()
        await caught_up(intake, *marks)
    assert not intake.lost
