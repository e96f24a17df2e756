"""The number of the line that an offset lies in, counted from one that is known, when a finding asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from monitor.common.newlines import newlines

__all__ = ["CountedStream", "KnownLines"]

COUNTED = 64 << 20  # bytes searched for newlines to number a line, about 30 ms; beyond it the line stays unknown
_PIECE = 2 << 20


class KnownLines:
    """`known`: an offset and the number of its line."""

    def __init__(self, known: tuple[int, int], read: Callable[[int, int], bytes]) -> None:
        """`read(offset, size)`: at most so many bytes; none where nothing can be read."""
        self.known, self._read = known, read

    def at(self, offset: int) -> int | None:
        """None: it is too far away, lies in the predecessor, or what lies between cannot be read."""
        known, line = self.known
        start, end = min(known, offset), max(known, offset)
        if start < 0 or end - start > COUNTED:
            return None
        count = 0
        while start < end:
            piece = self._read(start, min(_PIECE, end - start))
            if not piece:
                return None
            count += newlines(piece)
            start += len(piece)
        line += count if offset >= known else -count
        self.known = (offset, line)
        return line


class CountedStream:
    """A stream from its beginning on, with how many `newlines` were read of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.newlines = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.newlines += newlines(data)
        return data

    def close(self) -> None:
        self._stream.close()
