from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.sources.file.blanks import blank_end, first_blank, last_written

MIB = 1 << 20


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "app.log", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("end", [b"", b"x" * 10, b"x\0y", bytes(5) + b"x"])
@pytest.mark.parametrize("blanks", [1, 4096, 2 * MIB, 2 * MIB + 1])
@pytest.mark.parametrize("start", [0, 1])
def test_zeros_at_the_end(fd: int, end: bytes, blanks: int, start: int) -> None:
    os.write(fd, end + bytes(blanks))
    assert blank_end(fd, len(end) + blanks)
    assert last_written(fd, start, len(end) + blanks) == max(start, len(end))


@pytest.mark.parametrize("reserve", [os.posix_fallocate, lambda fd, at, count: os.truncate(fd, at + count)])
@pytest.mark.parametrize("count", [0, 3, 70_000])
def test_space_that_was_reserved(fd: int, reserve: object, count: int) -> None:
    os.write(fd, b"x" * count)
    reserve(fd, 0, 3 * MIB)  # type: ignore[operator]
    size = os.fstat(fd).st_size
    assert last_written(fd, 0, size) == count


def test_nothing_was_set_aside(fd: int) -> None:
    assert not blank_end(fd, 0)
    assert last_written(fd, 0, 0) == 0
    os.write(fd, b"a\0b")
    assert not blank_end(fd, 3)
    assert last_written(fd, 0, 3) == 3


@pytest.mark.parametrize("written", [0, 5, MIB, MIB + 7])
def test_how_far_a_space_is_filled(fd: int, written: int) -> None:
    os.write(fd, b"x" * written + bytes(2 * MIB))
    assert first_blank(fd, 0, written + 2 * MIB) == written
    assert first_blank(fd, min(2, written), written) == written
