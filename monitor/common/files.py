"""Ways to open a file that others write, rename and compress."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol

import zstandard

__all__ = [
    "ARCHIVES",
    "UNPACKING",
    "ByteReader",
    "open_archive",
    "open_file",
    "open_same",
    "opened",
    "read_exactly",
    "shut",
]

UNPACKING = 128 << 20  # bytes of memory that one archive may take: xz -9 needs 65 MiB, zstd --long 128


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
    return zstandard.ZstdDecompressor(max_window_size=UNPACKING).stream_reader(
        open(path, "rb"), read_across_frames=True, closefd=True
    )


class _Xz(io.RawIOBase):
    """As lzma.LZMAFile, which has no bound. Raises LZMAError, also at one that needs more, and EOFError."""

    def __init__(self, path: str) -> None:
        self._file, self._decoder = io.FileIO(path), _xz_decoder()

    def readable(self) -> bool:
        return True

    def readinto(self, view: Any) -> int:
        size = len(view)
        while True:
            data = b""
            if self._decoder.eof:  # another one may follow, behind zeros
                data = self._decoder.unused_data.lstrip(b"\0")
                while not data and (piece := self._file.read(io.DEFAULT_BUFFER_SIZE)):
                    data = piece.lstrip(b"\0")
                if not data:
                    return 0
                self._decoder = _xz_decoder()
            elif self._decoder.needs_input and not (data := self._file.read(io.DEFAULT_BUFFER_SIZE)):
                raise EOFError("ends in the middle")
            if out := self._decoder.decompress(data, size):
                view[: len(out)] = out
                return len(out)

    def close(self) -> None:
        self._file.close()
        super().close()


def _xz_decoder() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=UNPACKING)


ARCHIVES = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lambda path: io.BufferedReader(_Xz(path)), ".zst": _zstd}


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
