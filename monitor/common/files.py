"""Ways to open a file that others write, rename and compress."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol

import zstandard

__all__ = ["ARCHIVES", "ByteReader", "open_archive", "open_file", "open_same", "opened", "read_exactly", "shut"]


def open_file(path: str) -> int:
    """A descriptor for reading; never blocks on a FIFO. Raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)


@contextmanager
def opened(path: str) -> Iterator[int]:
    """The same descriptor until the block ends. Raises OSError."""
    fd = open_file(path)
    try:
        yield fd
    finally:
        os.close(fd)


def open_same(path: str, inode: tuple[int, int]) -> int:
    """A descriptor for reading where the path leads to this file (device, inode); -1 where not, or it is refused."""
    try:
        fd = open_file(path)
    except OSError:
        return -1
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) == inode and stat.S_ISREG(status.st_mode):
        return fd
    os.close(fd)
    return -1


def shut(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def _zstd(path: str) -> BinaryIO:
    return zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(
        open(path, "rb"), read_across_frames=True, closefd=True
    )


ARCHIVES = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": _zstd}


def open_archive(path: str) -> BinaryIO | None:
    """The decompressed content of a rotated file; None when it is not compressed. Raises OSError."""
    opener: Any = ARCHIVES.get(os.path.splitext(path)[1])
    return opener(path) if opener else None


class ByteReader(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_exactly(stream: ByteReader, count: int) -> bytes:
    """Exactly `count` bytes, or those up to the end."""
    data = b""
    while len(data) < count and (piece := stream.read(count - len(data))):
        data += piece
    return data
