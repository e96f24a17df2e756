from __future__ import annotations

import os
from pathlib import Path

from monitor.scan.holes import next_data, stretches

GIB = 1 << 30


def sparse(path: Path, *pieces: tuple[int, bytes], size: int) -> int:
    """A descriptor of a file with holes between the pieces."""
    with path.open("wb") as file:
        for at, data in pieces:
            os.pwrite(file.fileno(), data, at)
        file.truncate(size)
    return os.open(path, os.O_RDONLY)


def test_only_what_holds_data_is_read(tmp_path: Path) -> None:
    pieces = [(0, b"first"), (100 * GIB, b"x" * 5000), (100 * GIB + (64 << 10), b"near"), (200 * GIB - 4, b"last")]
    fd = sparse(tmp_path / "sparse", *pieces, size=200 * GIB)
    found = list(stretches(fd, 200 * GIB))
    assert len(found) == 3
    for at, data in pieces:
        assert any(begin <= at and at + len(data) <= end for begin, end in found)
    assert sum(end - begin for begin, end in found) < 1 << 20
    after = next_data(fd, 1 << 20)
    assert after is not None
    assert 100 * GIB - (1 << 20) < after <= 100 * GIB
    os.close(fd)


def test_what_is_all_space_or_has_none(tmp_path: Path) -> None:
    fd = sparse(tmp_path / "space", size=200 * GIB)
    assert list(stretches(fd, 200 * GIB)) == []
    assert next_data(fd, 0) is None
    os.close(fd)
    fd = sparse(tmp_path / "none", (0, b"x" * 100_000), size=100_000)
    assert list(stretches(fd, 100_000)) == [(0, 100_000)]
    os.close(fd)
