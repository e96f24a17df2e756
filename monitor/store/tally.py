"""How many transactions are on disk, counted beside the database: one that lost its end counts fewer inside."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

__all__ = ["NumberFile"]

_NUMBER = struct.Struct("<Q")


class NumberFile:
    """A file with one number. It is not forced to the disk: after a power failure it may be too low, which accuses
    nobody; too high it never is, because only what was durable before is counted."""

    def __init__(self, path: Path, *, create: bool) -> None:
        """Without a file it counts nothing and reads 0: a place for the database is all the store insists on."""
        self._descriptor: int | None = None
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
        with contextlib.suppress(OSError):
            self._descriptor = os.open(path, flags, 0o600)

    def read(self) -> int:
        data = b""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # after a commit: an error would have the transaction done again
                data = os.pread(self._descriptor, _NUMBER.size, 0)
        return int(_NUMBER.unpack(data)[0]) if len(data) == _NUMBER.size else 0

    def reached(self, number: int) -> None:
        """Another process may be further already."""
        if number > self.read():
            self.set(number)

    def set(self, number: int) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.pwrite(self._descriptor, _NUMBER.pack(number), 0)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
